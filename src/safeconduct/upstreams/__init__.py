"""The MCP servers behind a host: what they offer, and how to speak to them."""

from safeconduct.upstreams.catalogue import (
    Catalogue,
    Offer,
    Server,
    Tool,
    every_server,
    lower_level,
    remove,
    save,
    server_keys,
    unreachable,
    unreadable_servers,
    wanted,
)
from safeconduct.upstreams.classify import Classification, classify
from safeconduct.upstreams.crawl import Crawler, Findings
from safeconduct.upstreams.credentials import Credentials
from safeconduct.upstreams.definitions import PINNED_MEMBERS, HeaderParam
from safeconduct.upstreams.descriptions import Override, Strictness, Wanted
from safeconduct.upstreams.differences import (
    Difference,
    differences_of,
    flags_of,
    witnessed_differences,
)
from safeconduct.upstreams.forward import Forwarder
from safeconduct.upstreams.http_calls import Called, HttpCalls
from safeconduct.upstreams.http_tools import HttpApi, HttpTool, declare
from safeconduct.upstreams.items import Item, NoList, Omission, items_of, named
from safeconduct.upstreams.legibility import illegible, legible
from safeconduct.upstreams.listening import Listener, NotHeard
from safeconduct.upstreams.manners import Manner, Manners, manner_of_hello, manner_of_meta
from safeconduct.upstreams.observing import REVIEW, Observed, Waiting, observe
from safeconduct.upstreams.openapi import (
    BadOperation,
    Operation,
    Operations,
    Refusal,
    list_operations,
)
from safeconduct.upstreams.pages import CrawlFailed
from safeconduct.upstreams.pins import is_pinned, pin
from safeconduct.upstreams.reviews import (
    Moved,
    NothingToDecide,
    Review,
    decide_review,
    find_review,
    list_reviews,
)
from safeconduct.upstreams.revisions import (
    LEGACY,
    LEGACY_VERSIONS,
    MODERN,
    MODERN_VERSIONS,
    VERSIONS,
)
from safeconduct.upstreams.sightings import Sighting, is_news, sight, unreadable, within_room
from safeconduct.upstreams.sse import (
    EventTooLarge,
    Splitter,
    data_of,
    id_of,
    message_event,
    plain,
    with_data,
    with_id,
)
from safeconduct.upstreams.tables import (
    CHANGED,
    INSTRUCTIONS,
    KINDS,
    NEW,
    PINNED,
    PROMPT,
    TEMPLATE,
    TOOL,
    UNKNOWN,
)
from safeconduct.upstreams.templates import fits
from safeconduct.upstreams.tool_schemas import ToolSchemas, unchecked

__all__ = [
    "CHANGED",
    "INSTRUCTIONS",
    "KINDS",
    "LEGACY",
    "LEGACY_VERSIONS",
    "MODERN",
    "MODERN_VERSIONS",
    "NEW",
    "PINNED",
    "PINNED_MEMBERS",
    "PROMPT",
    "REVIEW",
    "TEMPLATE",
    "TOOL",
    "UNKNOWN",
    "VERSIONS",
    "BadOperation",
    "Called",
    "Catalogue",
    "Classification",
    "CrawlFailed",
    "Crawler",
    "Credentials",
    "Difference",
    "EventTooLarge",
    "Findings",
    "Forwarder",
    "HeaderParam",
    "HttpApi",
    "HttpCalls",
    "HttpTool",
    "Item",
    "Listener",
    "Manner",
    "Manners",
    "Moved",
    "NoList",
    "NotHeard",
    "NothingToDecide",
    "Observed",
    "Offer",
    "Omission",
    "Operation",
    "Operations",
    "Override",
    "Refusal",
    "Review",
    "Server",
    "Sighting",
    "Splitter",
    "Strictness",
    "Tool",
    "ToolSchemas",
    "Waiting",
    "Wanted",
    "classify",
    "data_of",
    "decide_review",
    "declare",
    "differences_of",
    "every_server",
    "find_review",
    "fits",
    "flags_of",
    "id_of",
    "illegible",
    "is_news",
    "is_pinned",
    "items_of",
    "legible",
    "list_operations",
    "list_reviews",
    "lower_level",
    "manner_of_hello",
    "manner_of_meta",
    "message_event",
    "named",
    "observe",
    "pin",
    "plain",
    "remove",
    "save",
    "server_keys",
    "sight",
    "unchecked",
    "unreachable",
    "unreadable",
    "unreadable_servers",
    "wanted",
    "with_data",
    "with_id",
    "within_room",
    "witnessed_differences",
]
