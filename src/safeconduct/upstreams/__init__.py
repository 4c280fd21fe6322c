"""The MCP servers behind a host: what they offer, and how to speak to them."""

from safeconduct.upstreams.catalogue import (
    CHANGED,
    NEW,
    PINNED,
    Catalogue,
    Override,
    Server,
    Tool,
    Wanted,
    accept,
    observe,
    remove,
    save,
    server_keys,
    unreachable,
    wanted,
)
from safeconduct.upstreams.classify import Classification, classify
from safeconduct.upstreams.crawl import LEGACY, MODERN, Crawler, CrawlFailed, Findings
from safeconduct.upstreams.credentials import Credentials
from safeconduct.upstreams.definitions import PINNED_MEMBERS, HeaderParam, pin
from safeconduct.upstreams.forward import Forwarder
from safeconduct.upstreams.http_calls import Called, HttpCalls
from safeconduct.upstreams.http_tools import HttpApi, HttpTool, declare
from safeconduct.upstreams.openapi import BadOperation, Operation, operations
from safeconduct.upstreams.sse import EventTooLarge, Splitter, data_of, with_data

__all__ = [
    "CHANGED",
    "LEGACY",
    "MODERN",
    "NEW",
    "PINNED",
    "PINNED_MEMBERS",
    "BadOperation",
    "Called",
    "Catalogue",
    "Classification",
    "CrawlFailed",
    "Crawler",
    "Credentials",
    "EventTooLarge",
    "Findings",
    "Forwarder",
    "HeaderParam",
    "HttpApi",
    "HttpCalls",
    "HttpTool",
    "Operation",
    "Override",
    "Server",
    "Splitter",
    "Tool",
    "Wanted",
    "accept",
    "classify",
    "data_of",
    "declare",
    "observe",
    "operations",
    "pin",
    "remove",
    "save",
    "server_keys",
    "unreachable",
    "wanted",
    "with_data",
]
