"""Compares the servers of a host with what they are to become.

What a plain HTTP API is shown of a secret appears as "credentials changed" and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator

from safeconduct.app.moves import Act, Doing, Mover
from safeconduct.app.plan import became, public_url, short
from safeconduct.app.present import Present
from safeconduct.app.targets import Target
from safeconduct.core.model import ServerKey
from safeconduct.upstreams import Credentials, HttpApi, Wanted, remove, save


def compare_servers(
    mover: Mover, present: Present, target: Target, credentials: Credentials
) -> list[ServerKey]:
    """Compare the servers; returns those that are to be read again."""
    fresh = []
    for key, said in target.servers.items():
        known, secrets = present.servers.get(key), target.credentials.get(key, {})
        wanted, renewed = credentials.sealed(target.host.key, said, secrets, known)
        if known is None:
            mover.add("server", key, "create", tuple(_newcomer(wanted)), _saved(wanted))
        elif known != wanted:
            what = (*_changes(known, wanted), *(["credentials changed"] if renewed else []))
            mover.add("server", key, "change", what, _saved(wanted))
        else:
            continue
        fresh.append(key)
    for key in present.servers:
        if key not in target.servers:
            mover.add("server", key, "remove", ("with all its tools",), _removed(key))
    return fresh


def _newcomer(wanted: Wanted) -> Iterator[str]:
    yield f"at {public_url(wanted.url)}"
    if wanted.http is not None:
        count = len(wanted.http.tools)
        yield f"an HTTP API with {count} tool{'' if count == 1 else 's'}"


def _changes(known: Wanted, wanted: Wanted) -> Iterator[str]:
    for name in ("name", "description"):
        before, after = getattr(known, name), getattr(wanted, name)
        if before != after:
            yield became(name, before, after)
    if known.url != wanted.url:
        before, after = public_url(known.url), public_url(wanted.url)
        yield became("url", before, after) if before != after else "url: another query"
    yield from _api_changes(known.http, wanted.http)
    if known.tools != wanted.tools:
        before = "all" if known.tools is None else known.tools
        yield became("import", before, "all" if wanted.tools is None else wanted.tools)
    for name in ("arguments", "results"):
        before, after = getattr(known, name), getattr(wanted, name)
        if before != after:
            yield became(name, before or "the default", after or "the default")
    if known.resources != wanted.resources:
        yield "resources: other bindings"
    for tool in sorted({*known.overrides, *wanted.overrides}):
        said_before, said_after = known.overrides.get(tool), wanted.overrides.get(tool)
        if said_before != said_after:
            yield f"tool {short(tool)}: other level, switch or bindings"


def _api_changes(known: HttpApi | None, wanted: HttpApi | None) -> Iterator[str]:
    if (known is None) != (wanted is None):
        yield "speaks MCP from now on" if wanted is None else "is an HTTP API from now on"
    if known is None or wanted is None:
        return
    before, after = known.tools, wanted.tools
    both = before.keys() & after.keys()
    for what, names in (
        ("tools declared", after.keys() - before.keys()),
        ("tools declared no more", before.keys() - after.keys()),
        ("tools declared otherwise", {name for name in both if before[name] != after[name]}),
    ):
        if names:
            yield f"{what}: {short(', '.join(sorted(names)))}"


def _saved(wanted: Wanted) -> Act:
    async def act(doing: Doing) -> None:
        await save(doing.tx, doing.host, wanted)

    return act


def _removed(key: ServerKey) -> Act:
    async def act(doing: Doing) -> None:
        await remove(doing.tx, doing.host, key)

    return act
