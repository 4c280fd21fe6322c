"""Shows tuples, writes and removes them, and explains what follows from them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from msgspec.structs import replace

from safeconduct import people
from safeconduct.api import resolved, shown, subject_of
from safeconduct.cli.failures import Failed
from safeconduct.cli.output import complain, several
from safeconduct.cli.work.asking import Asked
from safeconduct.cli.work.installations import Desk, at_desk, run
from safeconduct.core.emails import normal_email
from safeconduct.relations import (
    ACCESS,
    API,
    CONFIGURATION,
    DIRECTORY,
    Edit,
    Edited,
    Filter,
    Question,
    Schema,
    Stored,
    Tuple,
    Unanswerable,
    Verdict,
    host_schema,
    some,
)
from safeconduct.settings import suggestion

_PAGE, _MOST_COMPARED = 1000, 10_000
_SOURCES = (API, DIRECTORY, CONFIGURATION, ACCESS)
_USER = "user:"


def list_relations(asked: Asked, named: dict[str, str | None]) -> None:
    """Print tuples, or which of the names that were asked for nothing has.

    Raises:
        Failed: If the source is none.
    """
    source = named.get("source")
    if source is not None and source not in _SOURCES:
        raise Failed(f"--source is one of: {', '.join(_SOURCES)}")
    rows, hints = run(lambda: _listed(asked, Filter(**named)))
    asked.out.rows(rows, *("tuple", "source", "written_at"), nothing="There is no such relation.")
    for hint in hints:
        complain(hint)


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
    verdict, hints = run(lambda: _checked(asked, edge))
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
    for hint in hints:
        complain(hint)


async def _listed(asked: Asked, which: Filter) -> tuple[list[dict[str, Any]], list[str]]:
    async with at_desk(asked) as desk:
        wanted = which
        if which.subject is not None:
            subject = await subject_of(desk.parts.people, desk.host.key, which.subject)
            wanted = replace(which, subject=subject)
        found = [shown(each) for each in await _every(desk, wanted)]
        return found, [] if found else [each async for each in _unknown(desk, which)]


async def _unknown(desk: Desk, which: Filter) -> AsyncIterator[str]:
    """Say which names of a filter neither the schema nor any tuple has, with the nearest."""
    parts, host = desk.parts, desk.host.key
    async with parts.database.read() as tx:
        stored = await some(tx, host, Filter(), at=parts.clock.now(), most=_MOST_COMPARED)
        emails = [each.email for each in await people.every(tx, host)]
    schema = _schema(desk)
    edges = [each.edge for each in stored]
    kinds = {*schema.definitions, *(each.object.partition(":")[0] for each in edges)}
    relations = {name for each in schema.definitions.values() for name in each.members}
    relations |= {each.relation for each in edges}
    objects, subjects = {each.object for each in edges}, {each.subject for each in edges}
    if which.object is not None and which.object not in kinds | objects:
        yield _missing("object", which.object, kinds, objects)
    if which.relation is not None and which.relation not in relations:
        yield f"No type has the relation {which.relation}{suggestion(which.relation, relations)}"
    address = (which.subject or "").removeprefix(_USER)
    if "@" in address:
        if normal_email(address) not in emails:
            near = suggestion(address, emails)
            yield f"Host {host} knows nobody by the address {address}{near}"
        elif not str(which.subject).startswith(_USER):
            yield f"Write {_USER}{address} for a person by address."
    elif which.subject is not None:
        kinds |= {each.partition(":")[0] for each in subjects}
        if which.subject not in kinds | subjects:
            yield _missing("subject", which.subject, kinds, subjects)


def _schema(desk: Desk) -> Schema:
    try:
        return host_schema(desk.parts.policies.of(desk.host.key).schema)
    except LookupError:  # the doctor says what is wrong with the rules
        return host_schema()


def _missing(what: str, said: str, kinds: set[str], known: set[str]) -> str:
    kind, colon, _ = said.partition(":")
    if kind not in kinds:
        return f"There is no type {kind}{suggestion(kind, kinds)}"
    near = suggestion(said, [each for each in known if each.startswith(f"{kind}:")])
    return f"No relation has the {what} {said}{near if colon else ''}"


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


async def _checked(asked: Asked, edge: Tuple) -> tuple[Verdict, list[str]]:
    async with at_desk(asked) as desk:
        parts, host = desk.parts, desk.host.key
        question = Question(
            object=edge.object,
            permission=edge.relation,
            subject=await subject_of(parts.people, host, edge.subject),
        )
        try:
            verdict = await parts.backend.check(host, question)
        except Unanswerable as error:
            verdict = Verdict(allowed=False, reason=error.public)
        if verdict.allowed:
            return verdict, []
        kind = edge.object.partition(":")[0]
        named = Filter(object=kind, relation=edge.relation, subject=edge.subject)
        return verdict, [each async for each in _unknown(desk, named)]


def _read(texts: Sequence[str]) -> tuple[Tuple, ...]:
    try:
        return tuple(map(Tuple.parse, texts))
    except ValueError as error:
        raise Failed(f"{error}. Write it like ticket:T-7#assignee@user:alice@acme.test.") from error
