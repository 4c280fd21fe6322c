"""What the gateway that runs here was started with, and what a file says otherwise by now.

`apply` changes what stands in the database, and a running gateway knows at once. What it read
when it was started, it keeps: all of `server`, and where a host's rules come from. So it writes
that down beside its lock, secrets only as digests under the installation's key, and `plan`,
`apply` and the doctor compare.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from safeconduct.app.building import KEY_FILE
from safeconduct.app.occupancy import is_served
from safeconduct.app.plan import became
from safeconduct.core.secrets import Secret
from safeconduct.settings import PolicySettings, Settings

_FILE = "serving.json"
_PURPOSE = b"safeconduct served settings\0"
_MOST_NAMED = 8
_NONE, _OTHER = "none", "another secret"
_HASHED = "secret "
# What of a host's policy is stored when it is applied, so that a running gateway knows it.
_APPLIED = frozenset({"directory", "engine", "by"})


def note_served(settings: Settings) -> None:
    """Write down what is served with; the key must have been made."""
    data_dir = settings.server.data_dir
    file = data_dir / _FILE
    file.touch(mode=0o600)
    file.write_text(json.dumps(_spelled(settings, _key(data_dir))))


def kept_until_served_again(settings: Settings) -> str:
    """Say what the running gateway does not know yet; "" where none runs, or it knows all."""
    data_dir = settings.server.data_dir
    if not is_served(data_dir):
        return ""
    try:
        before = json.loads((data_dir / _FILE).read_text())
        after = _spelled(settings, _key(data_dir))
    except (OSError, ValueError):
        return ""  # it is being started or ended
    changes = list(_changes(before, after))
    if not changes:
        return ""
    named = "; ".join(changes[:_MOST_NAMED])
    more = f"; and {len(changes) - _MOST_NAMED} more" if len(changes) > _MOST_NAMED else ""
    return (
        "the running gateway was started with other settings and keeps them until it is started "
        f"again (end it, then: safeconduct serve): {named}{more}"
    )


def _changes(before: dict[str, str], after: dict[str, str]) -> Iterator[str]:
    for name in sorted({*before, *after}):
        old, new = before.get(name, _NONE), after.get(name, _NONE)
        if old == new:
            continue
        if new.startswith(_HASHED):
            new = _OTHER if old.startswith(_HASHED) else "a secret"
        yield became(name, "a secret" if old.startswith(_HASHED) else old, new)


def _spelled(settings: Settings, key: bytes) -> dict[str, str]:
    found = dict(_members(settings.server, "server", key))
    for host in settings.hosts:
        if host.policy is not None and (host.policy.git is not None or host.policy.by == "api"):
            found |= _source(host.policy, f"hosts.{host.key}.policy", key)
    return found


def _source(policy: PolicySettings, path: str, key: bytes) -> Iterator[tuple[str, str]]:
    for field in msgspec.structs.fields(policy):
        if field.name not in _APPLIED:
            value = getattr(policy, field.name)
            yield from _members(value, f"{path}.{field.encode_name}", key)


def _members(value: Any, path: str, key: bytes) -> Iterator[tuple[str, str]]:
    match value:
        case msgspec.Struct():
            for field in msgspec.structs.fields(value):
                yield from _members(getattr(value, field.name), f"{path}.{field.encode_name}", key)
        case Secret():
            text = f"{path}\0{value.reveal()}".encode("utf-8", "surrogatepass")
            yield path, _HASHED + hmac.digest(key, _PURPOSE + text, hashlib.sha256).hex()
        case None:
            yield path, _NONE
        case bool():
            yield path, "yes" if value else "no"
        case tuple():
            yield path, ", ".join(map(str, value)) or _NONE
        case _:
            yield path, str(value) or _NONE


def _key(data_dir: Path) -> bytes:
    return (data_dir / KEY_FILE).read_bytes()
