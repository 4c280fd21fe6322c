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
