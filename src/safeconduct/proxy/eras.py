"""Which era a message belongs to, and whether its headers say what its body says.

The era is decided by `MCP-Protocol-Version` together with the body's `_meta`, never by a
client id, a token or `Mcp-Method` (which clients also send on older revisions, where it is
ignored). A message whose header claims one era and whose body another is refused: readers
behind us might follow either. Sources: MCP 2026-07-28, basic/transports; SEP-2243.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Iterable

from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import Value
from safeconduct.proxy.messages import LEGACY, METHODS, MODERN, Era, Message
from safeconduct.upstreams import HeaderParam

LEGACY_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
MODERN_VERSIONS = ("2026-07-28",)
VERSIONS = MODERN_VERSIONS + LEGACY_VERSIONS
_UNSAID = "2025-03-26"  # what a missing header means, MCP 2025-06-18 basic/transports

META_VERSION = "io.modelcontextprotocol/protocolVersion"
META_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
META_CLIENT = "io.modelcontextprotocol/clientInfo"
_PREFIX, _SUFFIX = "=?base64?", "?="
_SINGLE = frozenset({b"mcp-protocol-version", b"mcp-method", b"mcp-name", b"mcp-session-id"})
_CONTENT = frozenset({b"content-type", b"content-encoding"})
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,400}")


class UnsupportedVersion(Refused):
    """The client speaks a revision that is not spoken here, or not by this server."""

    def __init__(self, requested: str, supported: tuple[str, ...]) -> None:
        super().__init__(
            Code.UNSUPPORTED_VERSION,
            f"Protocol version {requested[:40]!r} is not spoken here; "
            f"use one of {', '.join(supported)}.",
        )
        self.requested = requested[:40]
        self.supported = supported


class Headers:
    """The request's headers. Repeats are noted, and refused once it is known who asks."""

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._first: dict[bytes, bytes] = {}
        self._repeated: set[bytes] = set()
        self.params: dict[bytes, bytes] = {}
        for name, padded in raw:
            value = padded.strip(b" \t")  # the parser leaves blanks; RFC 9110 section 5.5 does not
            kept = self.params if name.startswith(b"mcp-param-") else self._first
            if name not in kept:
                kept[name] = value
            elif name == b"accept":
                kept[name] += b", " + value
            else:
                self._repeated.add(name)

    def get(self, name: bytes) -> bytes | None:
        return self._first.get(name)

    def text(self, name: bytes) -> str | None:
        value = self._first.get(name)
        return None if value is None else value.decode("latin-1")

    def repeats(self, name: bytes) -> bool:
        return name in self._repeated

    def check_single(self) -> None:
        """Refuse what readers behind us might read in two ways.

        Raises:
            Refused: If a header that says what the message is is there twice.
        """
        for name in self._repeated:
            if name in _SINGLE or name in self.params:
                raise _mismatch(f"The header {name.decode('latin-1')} is there twice")
            if name in _CONTENT:
                raise Refused(Code.UNSUPPORTED_MEDIA, f"The header {name.decode()} is there twice.")


class Revision(Value, frozen=True):
    """The protocol revision of one message, and the era it belongs to."""

    version: str
    era: Era


def revision_of(headers: Headers) -> Revision:
    """Return the revision the headers claim; the body is held against it later.

    Raises:
        UnsupportedVersion: If it is none we know.
    """
    claimed = headers.text(b"mcp-protocol-version")
    if claimed is None:
        return Revision(version=_UNSAID, era=LEGACY)
    if claimed in LEGACY_VERSIONS:
        return Revision(version=claimed, era=LEGACY)
    if claimed in MODERN_VERSIONS:
        return Revision(version=claimed, era=MODERN)
    raise UnsupportedVersion(claimed, VERSIONS)


def check(revision: Revision, headers: Headers, message: Message) -> None:
    """Hold a message's headers against its body.

    Raises:
        Refused: HEADER_MISMATCH where they disagree, INVALID_PARAMS where a modern message
            lacks its envelope.
    """
    if message.form == "response":
        if revision.era == MODERN:
            raise Refused(Code.INVALID_MESSAGE, "Responses are not sent in this revision.")
        return
    stated = message.meta.get(META_VERSION)
    if revision.era == LEGACY:
        if stated is not None:
            raise _mismatch(
                f"The body says revision {str(stated)[:40]!r} and the header MCP-Protocol-Version "
                f"says {headers.text(b'mcp-protocol-version') or 'nothing'!r}"
            )
        return
    _check_envelope(revision, message, stated)
    _check_routing(headers, message)


def check_params(expected: tuple[HeaderParam, ...], headers: Headers, message: Message) -> None:
    """Hold `Mcp-Param-*` against the arguments they mirror; unknown ones are let through.

    Raises:
        Refused: HEADER_MISMATCH where one is missing, malformed or different.
    """
    for param in expected:
        value = _at(message.arguments, param.path)
        given = headers.params.get(b"mcp-param-" + param.name.lower().encode())
        if value is None:
            if given is not None:
                raise _mismatch(f"The header Mcp-Param-{param.name} mirrors no argument")
        elif given is None or not _same(decoded(given), value):
            raise _mismatch(f"The header Mcp-Param-{param.name} does not equal its argument")


def decoded(value: bytes) -> str:
    """Read a mirrored header's value: visible ASCII, or Base64 of UTF-8 between markers.

    Raises:
        Refused: HEADER_MISMATCH if it is neither.
    """
    try:
        text = value.decode("ascii")
    except UnicodeDecodeError as error:
        raise _mismatch("A mirrored header is not ASCII") from error
    if not (text.startswith(_PREFIX) and text.endswith(_SUFFIX)):
        return text
    try:
        return base64.b64decode(text[len(_PREFIX) : -len(_SUFFIX)], validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _mismatch("A mirrored header is not valid Base64 of UTF-8") from error


@functools.lru_cache(maxsize=4096)  # names of tools and methods come again and again
def encoded(value: str) -> bytes:
    """Write a value so that a header carries it, the reverse of `decoded`."""
    plain = (
        value.isascii()
        and value.isprintable()
        and value == value.strip()
        and not (value.startswith(_PREFIX) and value.endswith(_SUFFIX))
    )
    if plain and value:
        return value.encode("ascii")
    return f"{_PREFIX}{base64.b64encode(value.encode()).decode()}{_SUFFIX}".encode("ascii")


def _check_envelope(revision: Revision, message: Message, stated: object) -> None:
    if message.form == "notification":
        if stated is not None and stated != revision.version:
            raise _mismatch("The header MCP-Protocol-Version does not equal the body's")
        return
    if stated is None:
        raise Refused(Code.INVALID_PARAMS, f"The parameter _meta[{META_VERSION!r}] is missing.")
    if stated != revision.version:
        raise _mismatch("The header MCP-Protocol-Version does not equal the body's")
    if not isinstance(message.meta.get(META_CAPABILITIES), dict):
        raise Refused(
            Code.INVALID_PARAMS, f"The parameter _meta[{META_CAPABILITIES!r}] is missing."
        )


def _check_routing(headers: Headers, message: Message) -> None:
    method = headers.text(b"mcp-method")
    if method is None:
        if message.form == "request":
            raise _mismatch("The header Mcp-Method is missing")
    elif method != message.method:
        raise _mismatch("The header Mcp-Method does not equal the body's method")
    row = METHODS.get(message.method)
    if row is None or not row.names or MODERN not in row.eras or message.form != "request":
        return
    name = headers.get(b"mcp-name")
    if name is None:
        raise _mismatch("The header Mcp-Name is missing")
    if decoded(name) != message.name:
        raise _mismatch(f"The header Mcp-Name does not equal the parameter {row.names!r}")


def _at(arguments: dict[str, object] | None, path: tuple[str, ...]) -> object:
    value: object = arguments
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _same(header: str, value: object) -> bool:
    match value:
        case bool():
            return header == ("true" if value else "false")
        case int():
            return _WHOLE_NUMBER.fullmatch(header) is not None and int(header) == value
        case str():
            return header == value
        case _:
            return False


def _mismatch(sentence: str) -> Refused:
    return Refused(Code.HEADER_MISMATCH, f"{sentence}.")
