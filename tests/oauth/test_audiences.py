"""Which resources are ours."""

from __future__ import annotations

import pytest

from safeconduct.core.model import HostId
from safeconduct.hosts import Host, Policies
from safeconduct.oauth import audiences
from safeconduct.oauth.refusals import OAuthRefused

HOST = Host(key=HostId("acme"), name="Acme", origin="https://acme.test:8420", policies=Policies())
O = HOST.origin  # noqa: E741  as long as it is in the table below


@pytest.mark.requirement("T-11", "RS-13", "AS-13")
@pytest.mark.parametrize(
    ("text", "resource", "server"),
    [
        (f"{O}/mcp", f"{O}/mcp", None),
        (f"{O}/mcp/", f"{O}/mcp", None),
        (f"{O}/mcp/ledger", f"{O}/mcp/ledger", "ledger"),
        (f"{O}/mcp/ledger/", f"{O}/mcp/ledger", "ledger"),
        ("HTTPS://ACME.test:8420/mcp/ledger", f"{O}/mcp/ledger", "ledger"),
    ],
)
def test_the_forms_clients_send_name_the_published_one(
    text: str, resource: str, server: str | None
) -> None:
    audience = audiences.read(HOST, text)
    assert audience is not None
    assert (audience.resource, audience.server) == (resource, server)


@pytest.mark.requirement("T-11", "RS-08")
@pytest.mark.parametrize(
    "text",
    [
        O,
        f"{O}/",
        f"{O}/mcp2",
        f"{O}/MCP",
        f"{O}/mcp//",
        f"{O}/mcp/../x",
        f"{O}/x/../mcp",
        f"{O}/mcp/a/b",
        f"{O}/mcp/ledger//",
        f"{O}/mcp/led%67er",
        f"{O}/mcp/ledger?x=1",
        f"{O}/mcp?x=1",
        f"{O}/mcp?upstream_mcp=",
        f"{O}/mcp?upstream_mcp=a&upstream_mcp=b",
        f"{O}/mcp#f",
        "http://acme.test:8420/mcp",
        "https://acme.test/mcp",
        "https://acme.test:8421/mcp",
        "https://evil.test:8420/mcp",
        "https://acme.test:8420@evil.test/mcp",
        "https://acme.test:8420.evil.test/mcp",
        "urn:mcp:gateway",
        "",
        f"{O}/mcp\n",
    ],
)
def test_anything_else_is_not_ours(text: str) -> None:
    """Pitfall 27."""
    assert audiences.read(HOST, text) is None


@pytest.mark.requirement("C-17")
def test_a_preselection_is_the_choosing_endpoint_with_a_suggestion() -> None:
    audience = audiences.read(HOST, f"{O}/mcp?upstream_mcp=https%3A%2F%2Fledger.test%2Fmcp")
    assert audience is not None
    assert audience.resource == f"{O}/mcp"
    assert audience.server is None
    assert audience.upstream == "https://ledger.test/mcp"


def test_repeated_resources_must_name_one_audience() -> None:
    """Pitfall 12; RFC 8707 section 2."""
    assert audiences.only(HOST, []) is None
    both = audiences.only(HOST, [f"{O}/mcp/ledger", f"{O}/mcp/ledger/"])
    assert both is not None
    for others in ([f"{O}/mcp/ledger", f"{O}/mcp"], [f"{O}/mcp", "https://evil.test/mcp"]):
        with pytest.raises(OAuthRefused) as refused:
            audiences.only(HOST, others)
        assert refused.value.error == "invalid_target"
