"""Which engine decides for which host."""

from __future__ import annotations

import msgspec
import pytest

from safeconduct.app.policies import HostPolicies
from safeconduct.core.model import HostId
from safeconduct.hosts import Host, Policies
from safeconduct.policy import Embedded, OpaEngine, OpaServers, Shelf, Signer

ACME = HostId("acme")
HERE = Host(key=ACME, name="Acme", origin="https://acme.test", policies=Policies())
SHELF = Shelf(Signer(b"k" * 32))
THERE = msgspec.structs.replace(HERE, policies=Policies(policy_engine="opa"))


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
