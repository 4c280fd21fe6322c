"""Reads, hands on and proves the audit trail. Needs no database and no running gateway."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec

from safeconduct.audit import Filters, Link, Tail, export, follow, latest, mark_path, read, verify
from safeconduct.cli.failures import USERS, Failed
from safeconduct.cli.output import Out, complain, printable_json, several
from safeconduct.cli.work.asking import settings_of
from safeconduct.core.clock import SystemClock
from safeconduct.core.model import ClientId, HostId, ServerKey, SubjectId
from safeconduct.core.secrets import ROOT_KEY_BYTES
from safeconduct.settings import suggestion

_AGO = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DECISIONS = frozenset({"allow", "deny", "error", "pending"})
_SHOWN = ("subject_email", "subject", "client", "server", "resource", "decision", "reason")
_NAMED = {"kind": "kind", "subject": "subject", "client": "agent", "server": "server"}
# What some records call those of whom most have the id alone.
_NAMES = {"subject": "subject_email", "client": "client_name"}
_MOST_ANCHOR_BYTES = 1024 * 1024


class _Anchors(msgspec.Struct, frozen=True):
    """What is read back of an earlier verification."""

    ends: tuple[Link, ...]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the trail is, and whose part of it is asked for."""

    config: Path
    data_dir: Path | None
    host: str | None

    def directory(self) -> Path:
        """Return the trail's directory.

        Raises:
            Failed: If there is none.
        """
        data_dir = self.data_dir or settings_of(self.config).server.data_dir
        found = data_dir / "audit"
        if not found.is_dir():
            raise Failed(
                f"There is no audit trail in {data_dir}. It begins with: safeconduct apply, or "
                "serve. Name another directory with --data-dir."
            )
        return found

    def one_host(self) -> HostId:
        """Return the host that was named, or the only one there is.

        Raises:
            Failed: If there are several; one tenant's records are not shown with another's.
        """
        if self.host is not None:
            return self._named(self.host)
        if self.data_dir is None:
            known = {host.key for host in settings_of(self.config).hosts}
        else:
            known = {str(each["host"]) for each in read(self.directory(), limit=None)} - {""}
        if len(known) != 1:
            names = ", ".join(sorted(known)) or "none"
            raise Failed(f"Name one host with --host; there are: {names}")
        return HostId(known.pop())

    def _named(self, host: str) -> HostId:
        """Return a host, and say so where neither the file nor any record has it."""
        file = () if self.data_dir is not None else settings_of(self.config).hosts
        known = {each.key for each in file}
        if host not in known:  # it may have been taken out of the file
            known |= {str(each["host"]) for each in read(self.directory(), limit=None)} - {""}
        if host not in known:
            complain(f"No record has the host {host}{suggestion(host, known)}")
        return HostId(host)


def filters(
    *,
    kind: str | None,
    subject: str | None,
    agent: str | None,
    server: str | None,
    decision: str | None,
    since: str | None,
    until: str | None,
) -> Filters:
    """Put the filters together.

    Raises:
        Failed: If one could never fit.
    """
    if decision is not None and decision not in _DECISIONS:
        raise Failed(f"--decision is one of: {', '.join(sorted(_DECISIONS))}")
    begin, end = moment("--since", since), moment("--until", until)
    if begin is not None and end is not None and begin >= end:
        raise Failed("--since is not before --until, so nothing could fit")
    return Filters(
        kind=kind,
        subject=None if subject is None else SubjectId(subject),
        client=None if agent is None else ClientId(agent),
        server=None if server is None else ServerKey(server),
        decision=decision,
        since=begin,
        until=end,
    )


def tail(place: Place, chosen: Filters, *, lines: int, go_on: bool, as_json: bool) -> None:
    """Show the newest records, and with `go_on` what comes after them."""
    directory = place.directory()
    chosen["host"] = place.one_host()
    # The place is taken first, so that what is written meanwhile is not missed.
    after = Tail.at_end(directory)
    shown, search = set(), _search(directory, chosen)
    for record in latest(directory, limit=lines, **search) if lines else []:
        shown.add(record.get("id"))
        _show(record, as_json=as_json)
    sys.stdout.flush()
    if not shown and lines and not go_on and not as_json:
        complain(f"Nothing of host {chosen['host']} is written down that fits.")
    if not shown and lines:
        _hint(directory, chosen)
    if go_on:
        asyncio.run(_follow(directory, after, search, shown=shown, as_json=as_json))


def _search(directory: Path, chosen: Filters) -> Filters:
    """Return filters that find a person by address and an agent by name, as by their ids.

    Most records have the ids alone, so whose they are is read from those that say both.
    """
    found = chosen.copy()
    subject, agent = found.pop("subject", None), found.pop("client", None)
    if subject is None and agent is None:
        return found
    people, agents = _texts(subject), _texts(agent)
    for record in read(directory, host=chosen.get("host"), limit=None):
        people |= _called(record, "subject", subject)
        agents |= _called(record, "client", agent)
    if subject is not None:
        found["subjects"] = frozenset(people)
    if agent is not None:
        found["clients"] = frozenset(agents)
    return found


def _called(record: dict[str, Any], member: str, wanted: str | None) -> set[str]:
    """Return the id and the name that a record has for whoever is called as wanted."""
    name = record.get(_NAMES[member])
    if wanted is None or not isinstance(name, str) or name.casefold() != wanted.casefold():
        return set()
    return {name} | _texts(record.get(member))


def _texts(value: object) -> set[str]:
    return {value} if isinstance(value, str) else set()


def _hint(directory: Path, chosen: Filters) -> None:
    """Say which of the names that were asked for no record of the host has."""
    asked = {name: str(value) for name in _NAMED if (value := chosen.get(name)) is not None}
    if not asked:
        return
    seen: dict[str, set[str]] = {name: set() for name in asked}
    for record in read(directory, host=chosen.get("host"), limit=None):
        for name in asked:
            seen[name] |= _texts(record.get(name)) | _texts(record.get(_NAMES.get(name, name)))
    for name, value in asked.items():
        if value.casefold() not in map(str.casefold, seen[name]):
            near = suggestion(value, seen[name])
            complain(f"No record of host {chosen.get('host')} has the {_NAMED[name]} {value}{near}")


async def _follow(
    directory: Path, after: Tail, chosen: Filters, *, shown: set[Any], as_json: bool
) -> None:
    async for record in follow(directory, tail=after, **chosen):
        if record.get("id") not in shown:
            _show(record, as_json=as_json)
            sys.stdout.flush()


def export_to(
    output: Path | None,
    place: Place,
    chosen: Filters,
    *,
    fmt: Literal["jsonl", "csv"],
    as_json: bool,
) -> None:
    """Write records to standard output, or to a file that only its owner may read."""
    directory = place.directory()
    chosen["host"] = place.one_host()
    search = _search(directory, chosen)
    if output is None:
        if fmt == "jsonl" and sys.stdout.isatty():
            # Not the bytes themselves: somebody may have written into the trail for whoever looks.
            for record in read(directory, limit=None, **search):
                _show(record, as_json=True)
            return
        if not export(directory, sys.stdout.buffer, fmt, **search):
            _hint(directory, chosen)
        sys.stdout.buffer.flush()
        return
    # A new file: never what a link of somebody else's leads to, and nothing is overwritten.
    handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        count = export(directory, stream, fmt, **search)
    if not count:
        _hint(directory, chosen)
    Out(as_json=as_json).sentence(
        f"Written to {output}: {several(count, 'record')}.", records=count, file=str(output)
    )


def verify_at(place: Place, *, anchors: Path | None, key: Path | None, as_json: bool) -> int:
    """Prove the trail; returns the exit code, which is 1 when something does not hold."""
    directory = place.directory()
    out = Out(as_json=as_json)
    known = () if anchors is None else _anchors(anchors)
    with out.progress("Reading the trail"):
        found = verify(
            directory, root_key=_key(directory, key), anchors=known, mark=_mark(directory, key)
        )
    for problem in found.problems:
        at = f"{problem.file}:{problem.line}" if problem.line else problem.file
        complain(f"{at}: {problem.kind}: {problem.message}")
    for sentence in found.unproven if not as_json else ():
        complain(f"Not proved: {sentence}")
    wrong = len(found.problems)
    verdict = "The trail is whole" if found.whole else f"{several(wrong, 'problem')} found"
    out.sentence(
        f"{verdict}: {several(found.records, 'record')} in {several(found.segments, 'segment')}.",
        whole=found.whole,
        **msgspec.to_builtins(found),
    )
    return 0 if found.whole else USERS


def _key(directory: Path, named: Path | None) -> bytes | None:
    """Read the installation's key: the one that was named, or the one beside the trail if any.

    Raises:
        Failed: If what was named is none.
    """
    file = named or directory.parent / "master.key"
    try:
        key = file.read_bytes()
    except FileNotFoundError:
        if named is None:
            return None
        raise
    if len(key) != ROOT_KEY_BYTES:
        raise Failed(f"{file} is no key of an installation; those have {ROOT_KEY_BYTES} bytes.")
    return key


def _mark(directory: Path, key: Path | None) -> Path | None:
    """Return the mark that was copied with the key, where none is beside the trail."""
    if key is None or mark_path(directory).exists():
        return None
    return mark_path(key.parent / directory.name)


def _anchors(file: Path) -> tuple[Link, ...]:
    with file.open("rb") as stream:
        raw = stream.read(_MOST_ANCHOR_BYTES)
    try:
        return msgspec.json.decode(raw, type=_Anchors).ends
    except msgspec.MsgspecError as error:
        raise Failed(f"{file}: this is not what `audit verify --json` printed") from error


def _show(record: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(printable_json(record) + "\n")
        return
    said = [f"{name}={record[name]}" for name in _SHOWN if record.get(name) is not None]
    detail = record.get("detail")
    if isinstance(detail, dict) and "by" in detail:
        said.append(f"by={detail['by']}")
    Out(as_json=False).line(f"{record['ts'][:23]}Z {record['kind']} {' '.join(said)}".rstrip())


def moment(option: str, text: str | None) -> datetime | None:
    """Read a time, or how long ago it was.

    Raises:
        Failed: If it is neither.
    """
    if text is None:
        return None
    try:
        if ago := _AGO.fullmatch(text):
            return SystemClock().now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(text)
        # In UTC, where the first and the last day of the calendar may have no place.
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Failed(f"{option} is a time such as 2026-11-21T12:00Z, or 15m, 2h, 7d ago") from None
