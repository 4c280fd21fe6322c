"""What has arrived on a connection, handed to the parser one request at a time.

A parser reads everything that it is given, and there is no stopping it between two requests. So
no piece reaches beyond the end of a request: a head ends with an empty line, a body of known
length with its last byte, and chunks with an empty line again, though not every empty line ends
them. What is behind stays here, unread, until the request before it is answered.
"""

from __future__ import annotations

import re

_END = b"\r\n\r\n"
_BLANK = re.compile(rb"[\r\n]*")


class Intake:
    """Bytes that wait for the parser. What begins a request is kept until its head is read."""

    def __init__(self) -> None:
        self._held = b""
        self._at = 0
        self._left = 0  # of a body of known length
        self._seam = b""  # the last bytes handed over, in which an end may have begun
        self._between = True
        self._in_head = True
        self._head: list[bytes] = []

    def __len__(self) -> int:
        return len(self._held) - self._at

    @property
    def is_between(self) -> bool:
        """Whether nothing of the next request was handed over yet."""
        return self._between

    def add(self, data: bytes) -> None:
        """Take what has arrived."""
        self._held = self._held[self._at :] + data if len(self) else data
        self._at = 0

    def take(self) -> bytes:
        """Hand over the next piece; never more than what is left of the request."""
        start, end = self._at, self._piece_end()
        self._at = end
        held = self._held
        piece = held if start == 0 and end == len(held) else held[start:end]
        if end == len(held):
            self._held, self._at = b"", 0
        return piece

    def opening(self) -> bytes:
        """Return the request line that the parser has read; what was kept of the head is let go."""
        head, self._head, self._in_head = b"".join(self._head), [], False
        return head.lstrip(b"\r\n").partition(b"\r\n")[0]

    def expect(self, length: int) -> None:
        """Learn at the end of a head how long the body is; 0 if it has none, or comes in chunks."""
        self._left = length

    def over(self) -> None:
        """Learn that the request is whole."""
        self._left, self._seam, self._head = 0, b"", []
        self._between = self._in_head = True

    def _piece_end(self) -> int:
        held, start = self._held, self._at
        if self._left:
            end = min(start + self._left, len(held))
            self._left -= end - start
            return end
        if self._between:
            blank = _BLANK.match(held, start)
            first = blank.end() if blank else start
            self._between = first == len(held)
        else:
            first = start
        end = self._line_end(first)
        if self._in_head:
            self._head.append(held[start:end])
        return end

    def _line_end(self, first: int) -> int:
        """Return where the next empty line ends, or all that there is."""
        held, seam = self._held, self._seam
        across = (seam + held[first : first + len(_END) - 1]).find(_END) if seam else -1
        if across >= 0:
            end = first + across + len(_END) - len(seam)
        else:
            found = held.find(_END, first)
            end = len(held) if found < 0 else found + len(_END)
        last = held[max(first, end - len(_END)) : end]
        self._seam = b"" if last == _END else (seam + last)[-(len(_END) - 1) :]
        return end
