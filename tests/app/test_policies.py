"""Which engine decides for which host."""

from __future__ import annotations

import msgspec
import pytest

from safeconduct.app.policies import HostPolicies
from safeconduct.core.clock import ManualClock
from safeconduct.core.model import HostId, Resource, ServerKey
from safeconduct.hosts import Host, Policies
from safeconduct.policy import (
    Embedded,
    OpaEngine,
    OpaServers,
    OwnRules,
    Pdp,
    Shelf,
    Signer,
    keep,
)
from safeconduct.storage import Database
from tests.policy.builders import a_request, some_facts

ACME = HostId("acme")
HERE = Host(key=ACME, name="Acme", origin="https://acme.test", policies=Policies())
SHELF = Shelf(Signer(b"k" * 32))
THERE = msgspec.structs.replace(HERE, policies=Policies(policy_engine="opa"))
OTHER = Resource(kind="tool", server=ServerKey("tickets"), name="get_issue")
REFUSED_NOW = """package safeconduct.host

forbidden[email] contains tool if some email, tool in data.forbidden

deny contains {"reason": "old"} if input.resource.name == "delete_issue"
"""
EXTENSIONS = """package safeconduct.extensions

deny contains each if some each in data.safeconduct.host.deny
"""


class Known:
    """The one host there is."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def get(self, key: HostId) -> Host | None:
        return self.host if key == self.host.key else None


async def test_a_host_changes_its_engine_and_the_next_call_is_decided_there() -> None:
    servers, known = OpaServers(["http://127.0.0.1:1"]), Known(HERE)
    policies = HostPolicies(known, SHELF, servers)

    before = policies.of(ACME)
    known.host = THERE
    after = policies.of(ACME)
    again = policies.of(ACME)
    await servers.aclose()

    assert isinstance(before.engine, Embedded)
    assert isinstance(after.engine, OpaEngine)
    assert before.bundle == after.bundle
    assert again is after


def test_a_host_for_servers_nobody_told_of_has_no_policy() -> None:
    """Which denies; that the rules could run here does not mean that they may."""
    policies = HostPolicies(Known(THERE), SHELF)

    with pytest.raises(LookupError):
        policies.of(ACME)


async def in_force(database: Database, text: str) -> HostPolicies:
    """Put rules in force that an earlier version of the program took."""
    rules = OwnRules(modules=(("extensions.rego", EXTENSIONS), ("host/x.rego", text)))
    shelf = Shelf(Signer(b"k" * 32))
    async with database.write() as tx:
        about = {"source": "directory x", "version": None, "at": ManualClock().now()}
        await keep(tx, ACME, rules, signer=shelf.signer, **about)  # type: ignore[arg-type]
    async with database.read() as tx:
        await shelf.fill(tx, [(ACME, rules.digest)])
    host = msgspec.structs.replace(HERE, policies=Policies(policy_bundle=rules.digest))
    return HostPolicies(Known(host), shelf)


@pytest.mark.requirement("Z-37", "D-09")
async def test_rules_in_force_that_would_not_be_taken_today_decide_and_the_log_says_so(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    pdp = Pdp((await in_force(database, REFUSED_NOW)).of)

    refused = await pdp.decide(a_request(), some_facts())
    other = await pdp.decide(a_request(resource=OTHER), some_facts())

    assert (refused.allow, refused.reason) == (False, "policy.old")
    assert (other.allow, other.reason) == (True, "allowed")
    (said,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert "host acme: its rules decide, and would not be taken any more" in said
    assert "host/x.rego:3: a map of sets is not supported" in said
    assert "safeconduct policy check" in said


@pytest.mark.requirement("Z-37", "D-09")
@pytest.mark.parametrize("text", ["no Rego at all", "package safeconduct.host\n\np := := 1\n"])
async def test_rules_in_force_that_cannot_be_loaded_deny_with_a_reason_and_are_on_the_log(
    database: Database, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    pdp = Pdp((await in_force(database, text)).of)

    for _ in range(3):
        decision = await pdp.decide(a_request(), some_facts())
        assert (decision.allow, decision.reason) == (False, "engine.failed")
        assert decision.message

    (said,) = [each.getMessage() for each in caplog.records]  # once, not for every call
    assert "host acme: its rules cannot be loaded (host/x.rego:" in said
    assert "safeconduct policy rollback" in said
