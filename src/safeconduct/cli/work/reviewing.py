"""Shows what servers changed, word by word, and takes an operator's yes or no to it."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from safeconduct.app import Reviews
from safeconduct.cli.failures import Failed
from safeconduct.cli.work.asking import Asked
from safeconduct.cli.work.installations import Desk, at_desk, run
from safeconduct.cli.work.servers import no_server
from safeconduct.core.model import ServerKey
from safeconduct.settings import suggestion
from safeconduct.upstreams import (
    PINNED,
    TOOL,
    Difference,
    Moved,
    NothingToDecide,
    Review,
    Server,
    Tool,
    differences_of,
    flags_of,
    witnessed_differences,
)

_SPELLED = {"same": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}
_LONGEST = 4000


def list_waiting(asked: Asked, server: str | None) -> None:
    """Print what waits for review."""
    asked.out.rows(
        run(lambda: _waiting(asked, server)),
        *("server", "kind", "name", "state", "flags", "refused", "digest"),
        nothing="Nothing waits for review.",
    )


def show(asked: Asked, server: str, kind: str, name: str) -> None:
    """Print one thing of a server: as it was reviewed, as it is, and what differs."""
    found = run(lambda: _one(asked, server, kind, name))
    if asked.as_json:
        asked.out.value(_whole(found))
        return
    for line in _lines(found):
        asked.out.line(line)


def judge(
    asked: Asked, server: str, kind: str, name: str, *, digest: str | None, accept: bool
) -> None:
    """Accept or refuse what was read."""
    run(lambda: _decide(asked, server, kind, name, digest=digest, accept=accept))
    what = name or kind
    outcome = (
        "is accepted as it was read; it can be used from now on"
        if accept
        else "stays out: nobody can use it until somebody accepts it, and if it changes again it "
        "comes up for review again"
    )
    asked.out.sentence(
        f"{what} of {server} {outcome}.",
        server=server,
        kind=kind,
        name=name,
        digest=digest,
        accepted=accept,
    )


async def _waiting(asked: Asked, server: str | None) -> list[dict[str, Any]]:
    async with at_desk(asked) as desk:
        key = None if server is None else ServerKey(server)
        if key is not None and await desk.parts.catalogue.get(desk.host.key, key) is None:
            raise await no_server(desk, key)
        found = await _reviews(desk).every(desk.host.key, key)
        servers = await desk.parts.catalogue.every(desk.host.key)
        falling = [_falls(each, tool) for each in servers for tool in each.tools.values()]
        return [
            *map(_row, found),
            *(row for row in falling if row is not None and key in {None, row["server"]}),
        ]


def _falls(server: Server, tool: Tool) -> dict[str, Any] | None:
    """Show a tool whose name speaks for a lower level than it has."""
    if tool.lower is None or tool.state != PINNED:
        return None
    fall = f"level {tool.level.word} -> {tool.lower.level.word}, {tool.lower.because}"
    return {
        "server": server.key,
        "kind": TOOL,
        "name": tool.name,
        "state": "level",
        "flags": [fall],
        "refused": False,
        "digest": "",
    }


async def _one(asked: Asked, server: str, kind: str, name: str) -> Review:
    async with at_desk(asked) as desk:
        return await _found(desk, ServerKey(server), kind, name)


async def _decide(
    asked: Asked, server: str, kind: str, name: str, *, digest: str | None, accept: bool
) -> None:
    async with at_desk(asked) as desk:
        host, key = desk.host.key, ServerKey(server)
        found = await _found(desk, key, kind, name)
        if found.state == PINNED:
            what = name or kind
            if accept and kind == TOOL and await _reviews(desk).lower(host, key, name, by=desk.by):
                return
            raise Failed(f"{what} of {key} does not wait for review; nothing was changed.")
        if digest is None:
            raise Failed(
                f"Name what you read with --digest. See: safeconduct servers review {key} "
                f"{name or f'--kind {kind}'}"
            )
        if len(digest) != len(found.digest):
            raise Failed(
                f"A digest has {len(found.digest)} characters and this one has {len(digest)}; "
                f"nothing was changed. Copy all of it from: safeconduct servers review {key} "
                f"{name or f'--kind {kind}'}"
            )
        try:
            await _reviews(desk).decide(
                host, key, kind, name, digest=digest, accept=accept, by=desk.by
            )
        except (NothingToDecide, Moved) as error:
            raise Failed(f"{error.public} See: safeconduct servers review {key}") from error


async def _found(desk: Desk, server: ServerKey, kind: str, name: str) -> Review:
    """Return what is meant.

    Raises:
        Failed: If the host or the server has nothing of that name.
    """
    if await desk.parts.catalogue.get(desk.host.key, server) is None:
        raise await no_server(desk, server)
    found = await _reviews(desk).one(desk.host.key, server, kind, name)
    if found is None:
        what = f"{kind} {name}" if name else kind
        known = await _reviews(desk).every(desk.host.key, server, waiting=False)
        near = suggestion(name, [each.name for each in known if each.kind == kind])
        raise Failed(f"Server {server} has no {what}{near}. See: safeconduct servers show {server}")
    return found


def _reviews(desk: Desk) -> Reviews:
    return Reviews(desk.parts.database, desk.parts.trail)


def _row(found: Review) -> dict[str, Any]:
    return {
        "server": found.server,
        "kind": found.kind,
        "name": found.name,
        "state": found.state,
        "flags": list(flags_of(found)),
        "refused": found.refused,
        "digest": found.digest,
    }


def _whole(found: Review) -> dict[str, Any]:
    return {
        **_row(found),
        "pinned": list(found.pinned),
        "present": list(found.present),
        "changes": msgspec.to_builtins(differences_of(found)),
        "seen_by_callers": msgspec.to_builtins(witnessed_differences(found)),
        "seen_by_callers_at": found.witnessed_at,
        "renamed_from": found.renamed_from,
    }


def _lines(found: Review) -> list[str]:
    state = "as it was reviewed" if found.state == PINNED else f"{found.state}, waits for review"
    lines = [f"{found.kind} {found.name} of {found.server}: {state}"]
    if found.refused:
        lines.append("An operator refused what is there now.")
    if found.renamed_from:
        lines.append(f"But for its name it is {found.renamed_from}, which was reviewed.")
    flags = flags_of(found)
    if flags:
        lines.append(f"Look at: {', '.join(flags)}")
    if not found.pinned:
        lines += ["It was not there before. It says:", *_spelled(found.present)]
    for each in differences_of(found):
        lines += ["", *_difference(each)]
    if found.witnessed_at is not None:
        lines += [
            "",
            f"Callers were to be shown this at {found.witnessed_at:%Y-%m-%d %H:%M:%S} UTC:",
        ]
        shown = witnessed_differences(found)
        for each in shown:
            lines += _difference(each)
        if not shown:
            lines += _spelled(found.witnessed)
    if found.state != PINNED:
        kind = "" if found.kind == "tool" else f" --kind {found.kind}"
        name = found.name or "''"
        end = f"{found.server} {name}{kind} --digest {found.digest}"
        lines += ["", f"safeconduct servers accept {end}", f"safeconduct servers refuse {end}"]
    return lines


def _difference(each: Difference) -> list[str]:
    if each.words:
        marked = "".join(_SPELLED[what].format(_visible(text)) for what, text in each.words)
        return [f"{each.member}:", f"  {marked[:_LONGEST]}"]
    before = "nothing" if each.before is None else _visible(json.dumps(each.before))
    after = "nothing" if each.after is None else _visible(json.dumps(each.after))
    return [f"{each.member}:", f"  was {before[:_LONGEST]}", f"  is  {after[:_LONGEST]}"]


def _spelled(definitions: tuple[dict[str, Any], ...]) -> list[str]:
    return [
        f"  {_visible(line)}"
        for each in definitions
        for line in json.dumps(each, indent=2, ensure_ascii=False).splitlines()
    ]


def _visible(text: str) -> str:
    """Spell what is not seen, so that nobody overlooks it and no terminal obeys it."""
    return "".join(each if each.isprintable() else f"<U+{ord(each):04X}>" for each in text)
