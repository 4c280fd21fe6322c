"""How a request has to begin, for every path alike (RFC 9112 sections 3 and 6.1).

The parser is lenient where this is not: it knows other protocols and versions, several spaces,
and fragments. A target in absolute form says which host is meant, whatever the Host field says,
and both are then brought into the one form that everything behind reads.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

MOST_FIELDS = 100
MOST_HEAD_BYTES = 64 * 1024  # of a request's target and fields

Fields = list[tuple[bytes, bytes]]
_VERSIONS = frozenset({"1.0", "1.1"})
_AUTHORITY = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*(?::[0-9]{0,5})?"
    rb"|\[[0-9A-Fa-f:.]+\](?::[0-9]{0,5})?"
)
_SCHEMES = frozenset({"http", "https"})


class Malformed(ValueError):
    """A request that is not read any further.

    Attributes:
        sentence: What is wrong with it, for its sender.
    """

    def __init__(self, sentence: str, *, status: int = 400) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status


TOO_MANY_FIELDS = f"Send at most {MOST_FIELDS} header fields."
TOO_LARGE_HEAD = f"The head of a request has at most {MOST_HEAD_BYTES // 1024} KiB."


def read_opening(
    line: bytes, *, method: bytes, target: bytes, version: str, fields: Fields
) -> bytes:
    """Hold what the parser has read against the standard; returns the target in origin form.

    Args:
        line: The request line as it arrived.
        method: What the parser took from it, as `target` and `version`.
        fields: With lower-case names; where the target names the host, its Host field is set.

    Raises:
        Malformed: If it could be read in two ways, or not at all.
    """
    if version not in _VERSIONS or line != b"%b %b HTTP/%b" % (method, target, version.encode()):
        raise Malformed("Begin with a method, a target and HTTP/1.1, with one space between them.")
    hosts = [value for name, value in fields if name == b"host"]
    if len(hosts) > 1 or (version == "1.1" and not hosts):
        raise Malformed("Send one Host field (RFC 9112 section 3.2).")
    if hosts and not _AUTHORITY.fullmatch(hosts[0]):
        raise Malformed("The Host field holds a name, and a port if there is one.")
    if version == "1.0" and any(name == b"transfer-encoding" for name, _ in fields):
        raise Malformed("HTTP/1.0 has no Transfer-Encoding (RFC 9112 section 6.1).")
    if b"#" in target:
        raise Malformed("A target has no fragment.")
    return target if target.startswith(b"/") else _origin_form(target, fields)


def length_of(fields: Fields) -> int:
    """Return what Content-Length says, as the parser has read it; 0 without one."""
    return next((int(value) for name, value in fields if name == b"content-length"), 0)


def _origin_form(target: bytes, fields: Fields) -> bytes:
    try:
        parts: SplitResult = urlsplit(target.decode("ascii"))
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    authority = parts.netloc.encode()
    if parts.scheme not in _SCHEMES or not authority or not _AUTHORITY.fullmatch(authority):
        raise Malformed("The target is a path, or a whole http or https address.")
    fields[:] = [(b"host", authority), *(each for each in fields if each[0] != b"host")]
    rest = target.partition(b"://")[2][len(authority) :]
    return rest if rest.startswith(b"/") else b"/" + rest
