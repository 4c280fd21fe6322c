"""The PEP and resource server: MCP messages in, judged, and the upstream's answers out."""

from safeconduct.proxy.again import Again
from safeconduct.proxy.background import Background
from safeconduct.proxy.calls import Call
from safeconduct.proxy.deciding import Decider
from safeconduct.proxy.event_ids import EventIds
from safeconduct.proxy.exchange import Answer, Head
from safeconduct.proxy.fitting import Fitting
from safeconduct.proxy.flights import Flights
from safeconduct.proxy.gate import Gate
from safeconduct.proxy.holding import HeldCalls
from safeconduct.proxy.messages import methods_of
from safeconduct.proxy.notices import Notices
from safeconduct.proxy.obligations import Approvals, Obligations, Permissions
from safeconduct.proxy.open_requests import OpenRequests
from safeconduct.proxy.pipeline import Pipeline
from safeconduct.proxy.plain_apis import PlainApis
from safeconduct.proxy.records import Records
from safeconduct.proxy.results import RequestStates
from safeconduct.proxy.returns import Returns
from safeconduct.proxy.routes import STRANGERS_BYTES, McpEndpoint, read_head
from safeconduct.proxy.shares import Share, ShareLimits, Shares
from safeconduct.proxy.sightings import Sightings
from safeconduct.proxy.throttling import Throttles, share_of
from safeconduct.proxy.transport_sessions import TransportSessions
from safeconduct.proxy.unkept import Unkept

__all__ = [
    "STRANGERS_BYTES",
    "Again",
    "Answer",
    "Approvals",
    "Background",
    "Call",
    "Decider",
    "EventIds",
    "Fitting",
    "Flights",
    "Gate",
    "Head",
    "HeldCalls",
    "McpEndpoint",
    "Notices",
    "Obligations",
    "OpenRequests",
    "Permissions",
    "Pipeline",
    "PlainApis",
    "Records",
    "RequestStates",
    "Returns",
    "Share",
    "ShareLimits",
    "Shares",
    "Sightings",
    "Throttles",
    "TransportSessions",
    "Unkept",
    "methods_of",
    "read_head",
    "share_of",
]
