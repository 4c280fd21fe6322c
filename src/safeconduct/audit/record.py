"""The form of a record: one line of JSON that carries its own hash and its predecessor's.

The hash is SHA-256 over the exact bytes before `,"hash":"`, and `prev` is among them. So a
record is checked without parsing it, and changing one byte anywhere breaks this record or
the link to it. A line is text that is safe to print: characters that move a cursor, turn
the direction of writing or end a line for some reader are spelled as JSON escapes.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from safeconduct.core.clock import Clock
from safeconduct.core.model import Value

# 2: written by who seals heads (`heads`).
VERSION = 2
GENESIS = "0" * 64
MAX_RECORD_BYTES = 256 * 1024

_SEAL = b',"hash":"'
_END = b'"}'
_SEAL_BYTES = len(_SEAL) + 64 + len(_END)
# DEL and C1 controls, marks of direction, line and paragraph separators, byte-order mark.
_DELETE = 0x7F
_UNPRINTABLE = re.compile("[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


class Link(Value, frozen=True):
    """A place in a chain: the n-th record of `chain` has this hash. n = 0 is the beginning."""

    chain: str
    n: int
    hash: str = GENESIS


class Record(msgspec.Struct, frozen=True):
    """What of a record holds the chain together; the event's own members are skipped."""

    v: int
    chain: str
    n: int
    id: str
    prev: str
    hash: str


# What decoders raise for text that is not a record.
NOT_A_RECORD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def stamp(moment: datetime) -> str:
    """Spell an instant in UTC with six decimals, so that texts sort as the instants do.

    Raises:
        ValueError: If the moment does not say its time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


class Stamper:
    """Spells the clock's time as `stamp` does; the text of a second is made once."""

    def __init__(self, clock: Clock) -> None:
        self._seconds = clock.seconds
        self._began = -(10**18)  # the second the text is of, in microseconds
        self._text = ""

    def now(self) -> str:
        microseconds = round(self._seconds() * 1_000_000)
        since = microseconds - self._began
        if not 0 <= since < 1_000_000:
            second, since = divmod(microseconds, 1_000_000)
            self._text = stamp(datetime.fromtimestamp(second, UTC))[:-7]
            self._began = microseconds - since
        return f"{self._text}{str(since).zfill(6)}Z"


def sealed(body: bytes) -> tuple[bytes, str]:
    """Close an open JSON object with its hash; return the line and the hash."""
    digest = hashlib.sha256(body).hexdigest()
    return b"".join((body, _SEAL, digest.encode(), _END, b"\n")), digest


def intact(line: bytes) -> bool:
    """Tell whether a line, with its newline, hashes to what it says."""
    body = line[: -_SEAL_BYTES - 1]
    return bool(body) and sealed(body)[0] == line


def members(event: msgspec.Struct) -> bytes:
    r"""Spell the event's members, without the braces around them.

    JSON has no spelling for half a surrogate pair that every reader accepts, so it is
    written as visible text (`\ud800`), the one thing here that does not read back as it was.
    """
    try:
        text = _ENCODER.encode(event)
    except UnicodeEncodeError:
        text = _ENCODER.encode(_without_lone_surrogates(msgspec.to_builtins(event)))
    if not text.isascii() or _DELETE in text:
        # These characters occur only inside strings, where an escape means the same.
        text = _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text.decode()).encode()
    return text[1:-1]


def read_record(line: bytes) -> Record | None:
    """Read the members that hold the chain together; None if this is no record."""
    try:
        return _RECORD_DECODER.decode(line)
    except NOT_A_RECORD:
        return None


def read_members(line: bytes) -> dict[str, Any] | None:
    """Read all members of a record; None if this is no record."""
    try:
        return _MEMBERS_DECODER.decode(line)
    except NOT_A_RECORD:
        return None


def _without_lone_surrogates(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {
                _without_lone_surrogates(name): _without_lone_surrogates(member)
                for name, member in value.items()
            }
        case list() | tuple():
            return [_without_lone_surrogates(item) for item in value]
        case _:
            return value


_ENCODER = msgspec.json.Encoder()
_RECORD_DECODER = msgspec.json.Decoder(Record)
_MEMBERS_DECODER = msgspec.json.Decoder(dict[str, Any])
