"""Server-sent events: cut at event boundaries, and in one form that every reader takes alike.

Where lines end and what counts is WHATWG HTML, section 9.2.6. Readers are laxer: many cut at every
character that Unicode calls a line's end, strip blanks around names, or ignore their case, and
would find data where the standard sees a comment or one long line. So an event that leaves room
for that is written anew from what was read of it; others stay as they are, byte for byte.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# The end of a line and an empty line; each ends with CR LF, LF or CR.
_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_BOM = b"\xef\xbb\xbf"
_AFTER_A_NAME = (b"", b":", b"\r", b"\n")
_PLAIN_HEAD = re.compile(
    rb"(?:id: ?[\x20-\x7e]*\r?\n)?(?:event: ?[\x20-\x7e]*\r?\n)?(?:retry: ?[0-9]+\r?\n)?data:"
)
_BLANK_LINES = (b"\n\n", b"\n\r\n")
_LAST_BYTES = 3  # from the end of the last line on, at most
_SEPARATORS = {
    each.encode(): b"\\u%04x" % ord(each)
    for each in ("\N{NEXT LINE}", "\N{LINE SEPARATOR}", "\N{PARAGRAPH SEPARATOR}")
}
_NOTHING = b":\n\n"  # a comment: the stream is alive
_LONGEST_NAME = 100
_MANY_LINES = 1000
_LONG_BYTES = 64 * 1024


class EventTooLarge(ValueError):
    """One event is longer than anybody should have to keep in memory."""


class Splitter:
    """Cuts a stream of chunks into events; keeps at most `limit` bytes of an open one."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._open = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """Add a chunk and return the events it completed, each with its blank line.

        Raises:
            EventTooLarge: If the open event has outgrown the limit.
        """
        start = max(0, len(self._open) - 3)
        # A lone CR at the end of what is open may end an event, and this chunk tells.
        ends = b"\n" in chunk or b"\r" in chunk or self._open.endswith(b"\r")
        self._open += chunk
        if not ends:
            self._check(len(self._open))
            return []
        events: list[bytes] = []
        begin = 0
        for end in _END.finditer(self._open, start):
            # A lone CR at the very end may be half of CR LF; the next chunk will tell.
            if end.end() == len(self._open) and self._open.endswith(b"\r"):
                break
            with memoryview(self._open) as whole:
                events.append(bytes(whole[begin : end.end()]))
            begin = end.end()
        del self._open[:begin]
        self._check(max([len(self._open), *map(len, events)]))
        return events

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise EventTooLarge(f"an event is longer than {self._limit} bytes")

    @property
    def unfinished(self) -> bool:
        """Whether bytes of an event without its blank line are left; readers drop those."""
        return bool(self._open)


def plain(event: bytes) -> bytes:
    """Return an event in a form that every reader takes alike; as it is if it has that form.

    Known fields, each once, the data last and on one line, and no character at which anybody else
    ends a line. Of any other event, comments, unknown fields and names that are no plain text go.
    Control characters in data stay: with them it is no JSON, and whoever reads it refuses it.
    """
    return event if _is_plain(event) else _rewritten(event)


def message_event(data: bytes) -> bytes:
    """Return an event that carries a JSON text."""
    return b"event: message\ndata: " + _on_one_line(data) + b"\n\n"


def _is_plain(event: bytes) -> bool:
    head = _PLAIN_HEAD.match(event)
    if head is None:
        return False
    end = event.find(b"\n", head.end())
    return (
        len(event) - end <= _LAST_BYTES
        and event.endswith(_BLANK_LINES)
        and event.find(b"\r", head.end(), end - 1) < 0
        and (event.isascii() or not _divides(event))
    )


def _divides(text: bytes) -> bool:
    """Say whether a reader that goes by Unicode sees a line's end."""
    return b"\xc2\x85" in text or (
        b"\xe2\x80" in text and (b"\xe2\x80\xa8" in text or b"\xe2\x80\xa9" in text)
    )


def _rewritten(event: bytes) -> bytes:
    data = data_of(event)
    found: dict[bytes, bytes] = {}
    for line in _lines(event.removeprefix(_BOM)):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if (
            (name == b"event" and _is_name(value))
            or (name == b"retry" and value.isdigit())
            or (name == b"id" and b"\0" not in value)
        ):
            found[name] = value
    lines = [name + b": " + value for name, value in found.items()]
    if data is not None:
        lines.append(b"data: " + _on_one_line(data))
    return b"\n".join((*lines, b"", b"")) if lines else _NOTHING


def _is_name(value: bytes) -> bool:
    return len(value) <= _LONGEST_NAME and value.isascii() and value.decode("ascii").isprintable()


def _on_one_line(data: bytes) -> bytes:
    """Return a JSON text with nothing in it that ends a line.

    JSON has line feeds between its parts alone, and what Unicode calls a line's end in strings.
    """
    text = b" ".join(_lines(data))
    if not text.isascii():
        for separator, escape in _SEPARATORS.items():
            text = text.replace(separator, escape)
    return text


def data_of(event: bytes) -> bytes | None:
    """Return an event's data, or None if it carries none (a comment, an id, a retry).

    Readers drop a byte-order mark at the head of a stream; we drop it before any event, or
    the data behind it would be seen by them and not by us.
    """
    lines = [
        line[5:].removeprefix(b" ")
        for line in _lines(event.removeprefix(_BOM))
        if line.startswith(b"data:") or line == b"data"
    ]
    return b"\n".join(lines) if lines else None


def _lines(text: bytes) -> list[bytes]:
    """Cut at each line's end; an order of magnitude faster than an expression on long lines."""
    lines = text.split(b"\n")
    if b"\r" not in text:
        return lines
    *ended, last = lines
    found: list[bytes] = []
    for line in ended:
        found += line.removesuffix(b"\r").split(b"\r")
    return [*found, *last.split(b"\r")]


def with_data(event: bytes, data: bytes) -> bytes:
    """Return the same event with other data; its id, name and retry stay."""
    kept = [
        line for line in _lines(event.removeprefix(_BOM)) if line and not line.startswith(b"data")
    ]
    return b"\r\n".join([*kept, b"data: " + _on_one_line(data), b"", b""])


class EventId(NamedTuple):
    """An event's id as a reader takes it, and where the lines are that hold one."""

    value: bytes
    lines: list[tuple[int, int]]


def id_of(event: bytes) -> EventId | None:
    """Return an event's id, or None if it has none."""
    lines = [
        (start, _line_end(event, start))
        for start in _id_starts(event)
        if event[start + 2 : start + 3] in _AFTER_A_NAME  # or it is another, longer name
    ]
    if not lines:
        return None
    start, end = lines[-1]
    return EventId(event[start + 2 : end].removeprefix(b":").removeprefix(b" "), lines)


def with_id(event: bytes, found: EventId, value: bytes | None) -> bytes:
    """Return the same event with another id, or without one; every other byte stays.

    Args:
        event: The event.
        found: What `id_of` says of it.
        value: The other id.
    """
    line = b"" if value is None else b"id: " + value
    pieces: list[bytes] = []
    begin = 0
    for number, (start, end) in enumerate(found.lines, 1):
        # A comment stands in the place of those that do not count, so that no line goes away.
        pieces += (event[begin:start], line if line and number == len(found.lines) else b":")
        begin = end
    return b"".join((*pieces, event[begin:]))


def _id_starts(event: bytes) -> list[int]:
    """Return where lines begin with the letters `id`.

    A single byte is found far faster than three; that counts where an event is one long line.
    """
    first = len(_BOM) if event.startswith(_BOM) else 0
    starts = [first] if event.startswith(b"id", first) else []
    for ending in (b"\n", b"\r"):
        many = len(event) < _LONG_BYTES or event.count(ending) > _MANY_LINES
        wanted = ending + b"id" if many else ending
        at = event.find(wanted)
        while at >= 0:
            if many or event.startswith(b"id", at + 1):
                starts.append(at + 1)
            at = event.find(wanted, at + len(wanted))
    return sorted(starts)


def _line_end(event: bytes, start: int) -> int:
    ends = [at for at in (event.find(b"\r", start), event.find(b"\n", start)) if at >= 0]
    return min(ends, default=len(event))
