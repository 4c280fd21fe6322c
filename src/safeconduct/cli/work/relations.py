"""Shows tuples, writes and removes them, and explains what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from safeconduct.api import resolved, shown, subject_of
from safeconduct.cli.failures import Failed
from safeconduct.cli.output import several
from safeconduct.cli.work.asking import Asked
from safeconduct.cli.work.installations import Desk, at_desk, run
from safeconduct.relations import (
    Edit,
    Edited,
    Filter,
    Question,
    Stored,
    Tuple,
    Unanswerable,
    Verdict,
    some,
)

_PAGE = 1000


def list_relations(asked: Asked, named: dict[str, str | None]) -> None:
    """Print tuples."""
    asked.out.rows(
        run(lambda: _listed(asked, Filter(**named))),
        *("tuple", "source", "written_at"),
        nothing="There is no such relation.",
    )


def write(asked: Asked, texts: Sequence[str]) -> None:
    """Write tuples."""
    edit = Edit(writes=_read(texts))
    written = [str(each) for each in run(lambda: _edited(asked, edit)).written]
    asked.out.sentence(f"{several(len(written), 'relation')} written.", written=written)


def remove(asked: Asked, texts: Sequence[str]) -> None:
    """Remove tuples."""
    edit = Edit(deletes=_read(texts))
    removed = [str(each) for each in run(lambda: _edited(asked, edit)).removed]
    asked.out.sentence(f"{several(len(removed), 'relation')} removed.", removed=removed)


def check(asked: Asked, text: str) -> None:
    """Print an answer and its way."""
    (edge,) = _read([text])
    verdict = run(lambda: _checked(asked, edge))
    out = asked.out
    out.sentence(
        f"{'Yes' if verdict.allowed else 'No'}: {verdict.reason}.",
        allowed=verdict.allowed,
        reason=verdict.reason,
        path=verdict.path,
    )
    if not asked.as_json:
        for step in verdict.path:
            out.line(f"  {step}")


async def _listed(asked: Asked, which: Filter) -> list[dict[str, Any]]:
    async with at_desk(asked) as desk:
        if which.subject is not None:
            subject = await subject_of(desk.parts.people, desk.host.key, which.subject)
            which = replace(which, subject=subject)
        return [shown(each) for each in await _every(desk, which)]


async def _every(desk: Desk, which: Filter) -> list[Stored]:
    parts, found = desk.parts, list[Stored]()
    while True:
        async with parts.database.read() as tx:
            after = found[-1].edge.key if found else None
            page = await some(
                tx, desk.host.key, which, at=parts.clock.now(), most=_PAGE, after=after
            )
        found += page
        if len(page) < _PAGE:
            return found


async def _edited(asked: Asked, edit: Edit) -> Edited:
    async with at_desk(asked) as desk:
        host = desk.host.key
        edit = await resolved(desk.parts.people, host, edit)
        return await desk.parts.editor.edit(host, edit, by=desk.by)


async def _checked(asked: Asked, edge: Tuple) -> Verdict:
    async with at_desk(asked) as desk:
        parts, host = desk.parts, desk.host.key
        question = Question(
            object=edge.object,
            permission=edge.relation,
            subject=await subject_of(parts.people, host, edge.subject),
        )
        try:
            return await parts.backend.check(host, question)
        except Unanswerable as error:
            return Verdict(allowed=False, reason=error.public)


def _read(texts: Sequence[str]) -> tuple[Tuple, ...]:
    try:
        return tuple(map(Tuple.parse, texts))
    except ValueError as error:
        raise Failed(f"{error}. Write it like ticket:T-7#assignee@user:alice@acme.test.") from error
