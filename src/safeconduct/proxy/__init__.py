"""The PEP and resource server: MCP messages in, judged, and the upstream's answers out."""

from safeconduct.proxy.deciding import Decider
from safeconduct.proxy.exchange import Answer
from safeconduct.proxy.flights import Flights
from safeconduct.proxy.gate import Gate
from safeconduct.proxy.pipeline import Pipeline
from safeconduct.proxy.records import Records
from safeconduct.proxy.results import RequestStates
from safeconduct.proxy.returns import Returns
from safeconduct.proxy.routes import McpEndpoint
from safeconduct.proxy.transport_sessions import TransportSessions

__all__ = [
    "Answer",
    "Decider",
    "Flights",
    "Gate",
    "McpEndpoint",
    "Pipeline",
    "Records",
    "RequestStates",
    "Returns",
    "TransportSessions",
]
