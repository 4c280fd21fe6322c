"""Tuples by request: checked against the host's schema, written down, all of them or none.

Only what came by request can be changed by one. What the configuration file or people's groups
say can be seen and is changed where it is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from safeconduct.audit import Event, Trail
from safeconduct.core.clock import Clock
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import HostId, Level, Value
from safeconduct.relations import tuples
from safeconduct.relations.errors import BackendUnavailable, SchemaError
from safeconduct.relations.listing import Key, Stored, these
from safeconduct.relations.schema import Schema, SchemaOf
from safeconduct.relations.tuples import ACCESS, API, CONFIGURATION, DIRECTORY, Tuple
from safeconduct.storage import Database

MOST = 100
_CEILINGS = frozenset(level.word for level in Level)
_WHENCE = {
    CONFIGURATION: "relations in the configuration file",
    ACCESS: "access in the configuration file",
    DIRECTORY: "the groups of a person",
}


class Edit(Value, frozen=True):
    """What somebody wants to be so.

    Attributes:
        writes: To be there, with their expiration.
        deletes: To be there no more, however long they were to last.
        must_exist: Nothing is done unless all of them are there, until whenever.
        must_not_exist: Nothing is done if one of them is there.
    """

    writes: tuple[Tuple, ...] = ()
    deletes: tuple[Tuple, ...] = ()
    must_exist: tuple[Tuple, ...] = ()
    must_not_exist: tuple[Tuple, ...] = ()

    @property
    def whole(self) -> tuple[Tuple, ...]:
        """Everything it names."""
        return (*self.writes, *self.deletes, *self.must_exist, *self.must_not_exist)


class Edited(Value, frozen=True):
    """What became different; the rest was so already."""

    written: tuple[Tuple, ...]
    removed: tuple[Tuple, ...]


class Editor:
    """Changes tuples."""

    def __init__(
        self, database: Database, *, trail: Trail, clock: Clock, schema_of: SchemaOf
    ) -> None:
        self._database = database
        self._trail = trail
        self._clock = clock
        self._schema_of = schema_of

    async def edit(self, host: HostId, edit: Edit, *, by: str) -> Edited:
        """Change tuples; when this returns, whoever asks next is answered by them.

        Args:
            host: The tenant.
            edit: What is wanted.
            by: Who wants it, as the record shall name them.

        Raises:
            Refused: INVALID_PARAMS if it is too much, nothing or contradicts itself; CONFLICT if
                a tuple is another source's, or what must be so is not.
            SchemaError: If the schema has no room for a tuple.
            AuditUnavailable: If it cannot be written down; then nothing is done.
        """
        now = self._clock.now()
        _refuse_muddle(edit)
        _refuse_unstorable(self._schema(host), edit.writes, now)
        async with self._database.write() as tx:
            found = await these(tx, host, edit.whole)
            _refuse_unmet(edit, found, now)
            edited = _edited(edit, found)
            for kind, edges in (("written", edited.written), ("removed", edited.removed)):
                for edge in edges:
                    self._record(host, f"relation.{kind}", edge, by=by)
            await self._trail.settled()
            for edge in edited.removed:
                await tuples.remove(tx, host, edge)
            for edge in edited.written:
                await tuples.write(tx, host, edge, source=API, at=now)
        return edited

    def _schema(self, host: HostId) -> Schema:
        try:
            return self._schema_of(host)
        except (LookupError, SchemaError) as error:
            raise BackendUnavailable("This host's definitions cannot be used now.") from error

    def _record(self, host: HostId, kind: str, edge: Tuple, *, by: str) -> None:
        self._trail.append(
            Event(
                kind=kind,
                host=host,
                resource_kind="relation",
                resource=str(edge),
                detail={"by": by, "source": API},
            )
        )


def _refuse_muddle(edit: Edit) -> None:
    if not edit.writes and not edit.deletes:
        raise _wrong("Name at least one tuple to write or to delete.")
    if len(edit.whole) > MOST:
        raise _wrong(f"At most {MOST} tuples can be named at once.")
    for edges in ((*edit.writes, *edit.deletes), (*edit.must_exist, *edit.must_not_exist)):
        seen: set[Key] = set()
        for edge in edges:
            if edge.key in seen:
                raise _wrong(f"{_bare(edge)} is named twice.")
            seen.add(edge.key)


def _refuse_unstorable(schema: Schema, writes: Iterable[Tuple], now: datetime) -> None:
    for edge in writes:
        if edge.object.startswith("server:") and edge.relation in _CEILINGS:
            raise _wrong(f"{_bare(edge)} is a ceiling; set it under access in the configuration.")
        if edge.expires_at is not None and edge.expires_at <= now:
            raise _wrong(f"{edge} would have expired already.")
        schema.check(edge)


def _refuse_unmet(edit: Edit, found: Mapping[Key, Stored], now: datetime) -> None:
    there = {
        key
        for key, each in found.items()
        if each.edge.expires_at is None or each.edge.expires_at > now
    }
    for edge in edit.must_exist:
        if edge.key not in there:
            raise Refused(Code.CONFLICT, f"{_bare(edge)} does not exist, so nothing was done.")
    for edge in edit.must_not_exist:
        if edge.key in there:
            raise Refused(Code.CONFLICT, f"{_bare(edge)} exists, so nothing was done.")


def _edited(edit: Edit, found: Mapping[Key, Stored]) -> Edited:
    return Edited(
        written=tuple(_changing(edit.writes, found)), removed=tuple(_leaving(edit.deletes, found))
    )


def _changing(writes: Iterable[Tuple], found: Mapping[Key, Stored]) -> Iterator[Tuple]:
    for edge in writes:
        present = found.get(edge.key)
        if present is None or present.edge.expires_at != edge.expires_at:
            _refuse_foreign(present)
            yield edge


def _leaving(deletes: Iterable[Tuple], found: Mapping[Key, Stored]) -> Iterator[Tuple]:
    for edge in deletes:
        present = found.get(edge.key)
        if present is not None:
            _refuse_foreign(present)
            yield present.edge


def _refuse_foreign(present: Stored | None) -> None:
    if present is not None and present.source != API:
        whence = _WHENCE.get(present.source, present.source)
        raise Refused(
            Code.CONFLICT, f"{_bare(present.edge)} comes from {whence} and is changed there."
        )


def _bare(edge: Tuple) -> str:
    return f"{edge.object}#{edge.relation}@{edge.subject}"


def _wrong(sentence: str) -> Refused:
    return Refused(Code.INVALID_PARAMS, sentence)
