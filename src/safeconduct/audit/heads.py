"""The heads of a trail: where each chain ends, sealed with a key.

`<writer>.head` names the newest durable record of a writer's chain, in a fixed size so that it
is replaced in place. Its seal is HMAC-SHA256 (RFC 2104) over its text and the writer's name,
under a key of its own derived from the installation's (HKDF-SHA256, RFC 5869 section 2.3): who
cuts records off the end cannot write a head that fits what is left. Before records of version 2
heads had a plain hash instead; such a head is read, and never believed for a newer chain.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from safeconduct.audit.record import NOT_A_RECORD, Link, intact
from safeconduct.core.model import Value
from safeconduct.core.secrets import ROOT_KEY_BYTES

HEAD_BYTES = 256
# Records from this version on are written by who seals heads.
SEALED_SINCE = 2

_SEAL = b',"seal":"'
_END = b'"}\n'
_DIGITS = 64
_SEAL_BYTES = len(_SEAL) + _DIGITS + len(_END)
_KEY_BYTES = 32
_PURPOSE = b"safeconduct audit-heads"


class Head(Value, frozen=True):
    """What a head says.

    Attributes:
        link: The newest record that is on the disk.
        idle: Whether that record does nothing but name the heads of other writers.
        body: The text the seal is over.
        seal: Hex of the seal; "" for a head with a plain hash, which anybody could have written.
    """

    link: Link
    idle: bool
    body: bytes
    seal: str


class _Members(msgspec.Struct, frozen=True):
    v: int
    chain: str
    n: int
    head: str
    idle: bool = False


class HeadKey:
    """Seals heads, and tells whether a seal is the installation's."""

    def __init__(self, root_key: bytes) -> None:
        """Derive the key from the installation's, of 32 bytes."""
        if len(root_key) != ROOT_KEY_BYTES:
            raise ValueError(f"the root key has {ROOT_KEY_BYTES} bytes")
        self._key = HKDFExpand(hashes.SHA256(), _KEY_BYTES, _PURPOSE).derive(root_key)

    def line(self, writer: str, link: Link, *, idle: bool = False) -> bytes:
        """Spell a writer's head."""
        body = (
            f'{{"v":{SEALED_SINCE},"chain":"{link.chain}","n":{link.n},"head":"{link.hash}",'
            f'"idle":{"true" if idle else "false"}'
        ).encode()
        text = b"".join((body, _SEAL, self._seal(writer, body).encode(), _END))
        return text.ljust(HEAD_BYTES)

    def fits(self, writer: str, head: Head) -> bool:
        """Tell whether this very head was sealed here for this writer."""
        expected = self._seal(writer, head.body)
        return hmac.compare_digest(expected.encode(), head.seal.encode())

    def _seal(self, writer: str, body: bytes) -> str:
        return hmac.new(self._key, writer.encode() + b"\0" + body, hashlib.sha256).hexdigest()


def read_head(raw: bytes) -> Head | None:
    """Read a head, whoever wrote it; None if it is none, or its plain hash does not fit."""
    line = raw.rstrip(b" ")
    if len(raw) != HEAD_BYTES or not line.isascii():
        return None
    body, seal = line[:-_SEAL_BYTES], ""
    if line[-_SEAL_BYTES:].startswith(_SEAL) and line.endswith(_END):
        seal = line[-_SEAL_BYTES + len(_SEAL) : -len(_END)].decode()
    elif not intact(line):
        return None
    try:
        head = _DECODER.decode(line)
    except NOT_A_RECORD:
        return None
    if (head.v >= SEALED_SINCE) != bool(seal):
        return None
    return Head(
        link=Link(chain=head.chain, n=head.n, hash=head.head), idle=head.idle, body=body, seal=seal
    )


def head_at(path: Path) -> Head | None:
    """Read the head in a file; None if it is none.

    Raises:
        OSError: If the file cannot be read, or is none: a pipe would never end.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "this is no file")
    with path.open("rb") as file:
        return read_head(file.read(HEAD_BYTES + 1))


_DECODER = msgspec.json.Decoder(_Members)
