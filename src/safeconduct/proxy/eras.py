"""Which era a message belongs to, and whether its headers say what its body says.

The era is decided by `MCP-Protocol-Version` together with the body's `_meta`, never by a
client id, a token or `Mcp-Method` (which clients also send on older revisions, where it may be
missing). A message whose header claims one era and whose body another is refused, as is one
whose mirrored headers say something else than its body: readers on the way might follow either.
Sources: MCP 2026-07-28, basic/transports; SEP-2243.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from safeconduct.core.encoding import from_base64, to_base64
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import Value
from safeconduct.proxy.messages import LEGACY, MODERN, Era, Message
from safeconduct.upstreams import LEGACY_VERSIONS, MODERN_VERSIONS, VERSIONS, HeaderParam

_UNSAID = "2025-03-26"  # what a missing header means, MCP 2025-06-18 basic/transports

META_VERSION = "io.modelcontextprotocol/protocolVersion"
META_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
META_CLIENT = "io.modelcontextprotocol/clientInfo"
_PREFIX, _SUFFIX = "=?base64?", "?="
_SINGLE = frozenset({b"mcp-protocol-version", b"mcp-method", b"mcp-name", b"mcp-session-id"})
_CONTENT = frozenset({b"content-type", b"content-encoding"})
_PARAM = b"mcp-param-"
_NOTHING: frozenset[bytes] = frozenset()
_NO_PARAMS: Mapping[bytes, bytes] = MappingProxyType({})
_OTHER_VERSION = "The header MCP-Protocol-Version does not equal the body's"
_OTHER_METHOD = "The header Mcp-Method does not equal the body's method"
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
    """The request's headers. Repeats are noted, and refused once it is known who asks.

    They do not change. What is found out about them alone is kept with them, so that it need
    not be found out again when the same head comes before the next message.

    Attributes:
        params: The `Mcp-Param-*` headers.
        fit: What is kept by who checks the form: the revision, for each HTTP method that the
            headers were found fit for.
    """

    __slots__ = ("_first", "_name", "_repeated", "_texts", "fit", "params")

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        lines = list(raw)
        # The parser leaves blanks around values; RFC 9110 section 5.5 does not.
        first = {name: value.strip(b" \t") for name, value in lines}
        self._first = first
        self._repeated = _NOTHING
        self._texts: dict[bytes, str] = {}
        self._name: str | None = None
        self.params: Mapping[bytes, bytes] = _NO_PARAMS
        self.fit: dict[str, Revision] = {}
        if len(first) != len(lines) or b" ".join(first).find(_PARAM) >= 0:
            self._sort(lines)

    def _sort(self, lines: list[tuple[bytes, bytes]]) -> None:
        """Take the first of those that repeat, and put aside those that mirror arguments."""
        first: dict[bytes, bytes] = {}
        params: dict[bytes, bytes] = {}
        repeated = set()
        for name, padded in lines:
            value = padded.strip(b" \t")
            kept = params if name.startswith(_PARAM) else first
            if name not in kept:
                kept[name] = value
            elif name == b"accept":
                kept[name] += b", " + value
            else:
                repeated.add(name)
        self._first, self.params, self._repeated = first, params, frozenset(repeated)

    def get(self, name: bytes) -> bytes | None:
        return self._first.get(name)

    def text(self, name: bytes) -> str | None:
        text = self._texts.get(name)
        if text is None:
            value = self._first.get(name)
            if value is not None:
                text = self._texts[name] = value.decode("latin-1")
        return text

    def name(self) -> str | None:
        """Return what `Mcp-Name` says, None if it is not there.

        Raises:
            Refused: HEADER_MISMATCH if it cannot be read.
        """
        if self._name is None:
            value = self._first.get(b"mcp-name")
            if value is not None:
                self._name = decoded(value)
        return self._name

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


_REVISIONS: dict[bytes | None, Revision] = {
    None: Revision(version=_UNSAID, era=LEGACY),
    **{each.encode(): Revision(version=each, era=LEGACY) for each in LEGACY_VERSIONS},
    **{each.encode(): Revision(version=each, era=MODERN) for each in MODERN_VERSIONS},
}


def revision_of(headers: Headers) -> Revision:
    """Return the revision the headers claim; the body is held against it later.

    Raises:
        UnsupportedVersion: If it is none we know.
    """
    revision = _REVISIONS.get(headers.get(b"mcp-protocol-version"))
    if revision is None:
        raise UnsupportedVersion(headers.text(b"mcp-protocol-version") or "", VERSIONS)
    return revision


def check(revision: Revision, headers: Headers, message: Message) -> None:
    """Hold a message's headers against its body.

    Raises:
        Refused: HEADER_MISMATCH where they disagree, INVALID_PARAMS where a modern message
            lacks its envelope.
    """
    stated = message.meta.get(META_VERSION)
    if revision.era == LEGACY:
        if stated is not None:
            raise _mismatch(
                f"The body says revision {str(stated)[:40]!r} and the header MCP-Protocol-Version "
                f"says {headers.text(b'mcp-protocol-version') or 'nothing'!r}"
            )
        if message.raw:  # asking for the stream has no body that could say anything
            _check_older(headers, message)
    elif message.form == "request":
        _check_request(revision, headers, message, stated)
    elif message.form == "notification":
        if stated is not None and stated != revision.version:
            raise _mismatch(_OTHER_VERSION)
        _check_method(headers, message)
    else:
        raise Refused(Code.INVALID_MESSAGE, "Responses are not sent in this revision.")


def check_params(
    expected: tuple[HeaderParam, ...], headers: Headers, message: Message, *, required: bool
) -> None:
    """Hold `Mcp-Param-*` against the arguments they mirror.

    A header that the pinned schema does not know is refused: whoever reads it behind us would
    read what nobody has judged.

    Args:
        expected: The arguments that the pinned schema has mirrored.
        required: Whether each of those that are there must be.

    Raises:
        Refused: HEADER_MISMATCH where one is unknown, missing, malformed or different.
    """
    known = {_PARAM + param.name.lower().encode() for param in expected}
    if not known.issuperset(headers.params):
        unknown = min(headers.params.keys() - known).removeprefix(_PARAM).decode("latin-1")
        raise _mismatch(f"The header Mcp-Param-{unknown[:100]} mirrors no argument of this message")
    for param in expected:
        value = _at(message.arguments, param.path)
        given = headers.params.get(_PARAM + param.name.lower().encode())
        if value is None:
            if given is not None:
                raise _mismatch(f"The header Mcp-Param-{param.name} mirrors no argument")
        elif given is None:
            if required:
                raise _mismatch(f"The header Mcp-Param-{param.name} is missing")
        elif not _same(decoded(given), value):
            raise _mismatch(f"The header Mcp-Param-{param.name} does not equal its argument")


def mirrored(
    expected: tuple[HeaderParam, ...], message: Message
) -> tuple[tuple[bytes, bytes], ...]:
    """Return the `Mcp-Param-*` headers of a message, written from the judged body."""
    values = ((param, _at(message.arguments, param.path)) for param in expected)
    return tuple(
        (_PARAM + param.name.lower().encode(), _spelled(_text_of(value)))
        for param, value in values
        if value is not None
    )


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
        return from_base64(text[len(_PREFIX) : -len(_SUFFIX)]).decode("utf-8")
    except ValueError as error:
        raise _mismatch("A mirrored header is not valid Base64 of UTF-8") from error


@functools.lru_cache(maxsize=4096)  # names of tools and methods come again and again
def encoded(value: str) -> bytes:
    """Write a value so that a header carries it, the reverse of `decoded`."""
    return _spelled(value)


def _spelled(value: str) -> bytes:
    plain = (
        value.isascii()
        and value.isprintable()
        and value == value.strip()
        and not (value.startswith(_PREFIX) and value.endswith(_SUFFIX))
    )
    if plain and value:
        return value.encode("ascii")
    return f"{_PREFIX}{to_base64(value.encode())}{_SUFFIX}".encode("ascii")


def _check_request(revision: Revision, headers: Headers, message: Message, stated: object) -> None:
    if stated is None:
        raise Refused(Code.INVALID_PARAMS, f"The parameter _meta[{META_VERSION!r}] is missing.")
    if stated != revision.version:
        raise _mismatch(_OTHER_VERSION)
    if not isinstance(message.meta.get(META_CAPABILITIES), dict):
        raise Refused(
            Code.INVALID_PARAMS, f"The parameter _meta[{META_CAPABILITIES!r}] is missing."
        )
    if headers.get(b"mcp-method") is None:
        raise _mismatch("The header Mcp-Method is missing")
    _check_method(headers, message)
    if message.row is None:
        return
    if message.row.names and headers.get(b"mcp-name") is None:
        raise _mismatch("The header Mcp-Name is missing")
    _check_name(headers, message)


def _check_older(headers: Headers, message: Message) -> None:
    """Hold what an older message need not mirror against its body, where it does."""
    _check_method(headers, message)
    if message.form == "request" and message.row is not None:
        _check_name(headers, message)


def _check_method(headers: Headers, message: Message) -> None:
    if headers.text(b"mcp-method") not in {None, message.method}:
        raise _mismatch(_OTHER_METHOD)


def _check_name(headers: Headers, message: Message) -> None:
    name = headers.name()
    if name is None or name == message.name:
        return
    names = message.row.names if message.row is not None else ""
    if not names:
        raise _mismatch("The header Mcp-Name names what the body does not")
    raise _mismatch(f"The header Mcp-Name does not equal the parameter {names!r}")


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


def _text_of(value: object) -> str:
    """Return a mirrored value as a text; it has been compared with a header already."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _mismatch(sentence: str) -> Refused:
    return Refused(Code.HEADER_MISMATCH, f"{sentence}.")
