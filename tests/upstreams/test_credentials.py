"""Header values at rest: they open for their host, server, address and header, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from safeconduct.core.model import HostId, ServerKey
from safeconduct.core.secrets import Secret
from safeconduct.egress import UpstreamFailed
from safeconduct.upstreams import Credentials, HttpApi, Server, Wanted

ACME, OTHER = HostId("acme"), HostId("other")
KEY = "key-0123456789"
WANTED = Wanted(key=ServerKey("api"), name="Api", url="https://api.test/v3", http=HttpApi())
CREDENTIALS = Credentials(b"k" * 32)


def sealed(
    value: str = KEY, known: Wanted | None = None, *, name: str = "x-api-key", **more: Any
) -> tuple[Wanted, bool]:
    return CREDENTIALS.sealed(ACME, replace(WANTED, **more), {name: Secret(value)}, known)


def server_of(wanted: Wanted, **more: Any) -> Server:
    assert wanted.http is not None
    members = {"host": ACME, "key": wanted.key, "name": "Api", "url": wanted.url}
    about = {"description": "", "eras": (), "tools": {}, "api": wanted.http.credentials}
    return Server(**members | about | more)


def test_what_was_sealed_is_sent_and_stands_nowhere_else() -> None:
    wanted, changed = sealed()

    assert changed
    assert KEY not in repr(wanted)
    assert KEY not in repr(server_of(wanted))
    assert CREDENTIALS.opened(server_of(wanted)) == [(b"x-api-key", KEY.encode())]


def test_what_is_the_same_stays_as_it_is_stored() -> None:
    first, _ = sealed()

    assert sealed(known=first) == (first, False)


@pytest.mark.parametrize("other", [{"value": "another-key"}, {"name": "x-other"}])
def test_another_value_or_header_is_a_change(other: dict[str, str]) -> None:
    first, _ = sealed()

    again, changed = sealed(known=first, **other)

    assert changed
    assert again != first


def test_a_header_taken_away_is_a_change() -> None:
    first, _ = sealed()

    again, changed = CREDENTIALS.sealed(ACME, WANTED, {}, first)

    assert changed
    assert CREDENTIALS.opened(server_of(again)) == []


def test_a_new_address_takes_the_same_secret_along_unchanged() -> None:
    first, _ = sealed()

    moved, changed = sealed(known=first, url="https://new.test")

    assert not changed
    assert CREDENTIALS.opened(server_of(moved)) == [(b"x-api-key", KEY.encode())]


@pytest.mark.requirement("X-01")
@pytest.mark.parametrize(
    "other",
    [
        {"host": OTHER},
        {"key": ServerKey("api2")},
        {"url": "https://evil.test/v3"},
        {"rename": "x-other"},
    ],
    ids=["host", "server", "address", "header"],
)
def test_a_value_moved_elsewhere_does_not_open(other: dict[str, Any]) -> None:
    wanted, _ = sealed()
    server = server_of(wanted)
    renamed = other.pop("rename", None)
    if renamed is not None:
        other = {"api": dict.fromkeys([renamed], (server.api or {})["x-api-key"])}

    with pytest.raises(UpstreamFailed, match="cannot be read") as refused:
        CREDENTIALS.opened(replace(server, **other))

    assert not refused.value.sent


def test_under_another_key_nothing_opens_and_everything_is_sealed_anew() -> None:
    first, _ = sealed()
    elsewhere = Credentials(b"j" * 32)

    with pytest.raises(UpstreamFailed):
        elsewhere.opened(server_of(first))
    again, changed = elsewhere.sealed(ACME, WANTED, {"x-api-key": Secret(KEY)}, first)

    assert changed
    assert elsewhere.opened(server_of(again)) == [(b"x-api-key", KEY.encode())]


def test_an_mcp_server_has_none() -> None:
    plain = replace(WANTED, http=None)

    assert CREDENTIALS.sealed(ACME, plain, {}, None) == (plain, False)
