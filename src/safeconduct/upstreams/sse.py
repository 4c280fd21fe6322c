"""Server-sent events, cut at event boundaries and otherwise left as they are.

The gateway forwards the bytes of each event unchanged; it only needs to know where one
ends, how long it is, and what its data says (WHATWG HTML, section 9.2.6).
"""

from __future__ import annotations

import re

# The end of a line and an empty line; each ends with CR LF, LF or CR.
_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_LINE = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


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
        self._open += chunk
        events: list[bytes] = []
        begin = 0
        for end in _END.finditer(self._open, start):
            # A lone CR at the very end may be half of CR LF; the next chunk will tell.
            if end.end() == len(self._open) and self._open.endswith(b"\r"):
                break
            events.append(bytes(self._open[begin : end.end()]))
            begin = end.end()
        del self._open[:begin]
        if len(self._open) > self._limit or any(len(event) > self._limit for event in events):
            raise EventTooLarge(f"an event is longer than {self._limit} bytes")
        return events

    @property
    def unfinished(self) -> bool:
        """Whether bytes of an event without its blank line are left; readers drop those."""
        return bool(self._open)


def data_of(event: bytes) -> bytes | None:
    """Return an event's data, or None if it carries none (a comment, an id, a retry).

    Readers drop a byte-order mark at the head of a stream; we drop it before any event, or
    the data behind it would be seen by them and not by us.
    """
    lines = [
        line[5:].removeprefix(b" ")
        for line in _LINE.split(event.removeprefix(_BOM))
        if line.startswith(b"data:") or line == b"data"
    ]
    return b"\n".join(lines) if lines else None


def with_data(event: bytes, data: bytes) -> bytes:
    """Return the same event with other data; its id, name and retry stay."""
    kept = [
        line
        for line in _LINE.split(event.removeprefix(_BOM))
        if line and not line.startswith(b"data")
    ]
    fresh = [b"data: " + line for line in _LINE.split(data)]
    return b"\r\n".join([*kept, *fresh, b"", b""])


def id_of(event: bytes) -> bytes | None:
    """Return an event's id as a reader takes it, or None if it has none."""
    lines = _id_lines(event)
    if not lines:
        return None
    start, end = lines[-1]
    return event[start + 2 : end].removeprefix(b":").removeprefix(b" ")


def with_id(event: bytes, value: bytes | None) -> bytes:
    """Return the same event with another id, or without one; every other byte stays."""
    lines = _id_lines(event)
    line = b"" if value is None else b"id: " + value
    pieces: list[bytes] = []
    begin = 0
    for number, (start, end) in enumerate(lines, 1):
        # A comment stands in the place of those that do not count, so that no line goes away.
        pieces += (event[begin:start], line if line and number == len(lines) else b":")
        begin = end
    return b"".join((*pieces, event[begin:]))


def _id_lines(event: bytes) -> list[tuple[int, int]]:
    """Return where the lines begin and end that hold the field `id`."""
    found = []
    first = len(_BOM) if event.startswith(_BOM) else 0
    for start in _line_starts(event, first):
        end = start + 2
        after = event[end : end + 1]
        if after and after not in b":\r\n":
            continue  # another field, whose name begins alike
        ends = [at for at in (event.find(b"\r", end), event.find(b"\n", end)) if at >= 0]
        found.append((start, min(ends, default=len(event))))
    return found


def _line_starts(event: bytes, first: int) -> list[int]:
    """Return where lines begin with the letters `id`; found without a look at each byte here."""
    starts = [first] if event.startswith(b"id", first) else []
    for ending in (b"\nid", b"\rid"):
        at = event.find(ending)
        while at >= 0:
            starts.append(at + 1)
            at = event.find(ending, at + 3)
    return sorted(starts)
