"""The spelling of resource URIs: what a reader behind us would take for another one is refused.

A URI is decided on as it is spelled, and servers parse it: their libraries take out tabs, resolve
dot segments, drop default ports, lower the case of hosts (WHATWG URL; RFC 3986 section 6.2). So
what is decided on must be what such a reader writes again. Two judgements: `misspelling` is for
every URI, `abnormality` for those that a binding or a rule reads. No parser is copied here: less
is accepted than a parser would leave alone, and nothing that it would change.
"""

from __future__ import annotations

import ipaddress
import re

from safeconduct.core.http_request import misleads

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_BLANKS = "\ufeff\u200b\u2060"  # beside what `str.strip` takes
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_BEYOND_DOUBT = re.compile(r"[a-z][a-z0-9+-]*:[A-Za-z0-9_~:/?#@!$&'()*+,;=-]*")  # no dots
_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21"}
_SPECIAL = frozenset({*_DEFAULT_PORTS, "file"})
_EMPTY_PATH = frozenset({"http", "https"})
_ENCODED = r"%[0-9A-F]{2}"
_SIGNS = re.compile(rf"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?#\[\]-]|{_ENCODED})*")
_PLAIN_ENCODED = re.compile(r"%(?:2[DE]|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])")
_AUTHORITY = re.compile(
    r"(?:(?P<user>[^@:]+(?::[^@]+)?)@)?(?P<host>\[[^\]@]*\]|[^@:\[\]]*)(?::(?P<port>[0-9]*))?"
)
_IN_USER = rf"(?:[A-Za-z0-9._~!$&'()*+,-]|{_ENCODED})+"
_USER = re.compile(rf"{_IN_USER}(?::{_IN_USER})?")
_OPAQUE_HOST = re.compile(rf"(?:[A-Za-z0-9._~!$&'()*+,;=-]|{_ENCODED})*")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BRACKETS = re.compile(r"[\[\]]")
_TAIL = re.compile(r"[?#]")
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_MOST_PORT = 65535
_DRIVE = re.compile(r"/+[A-Za-z](?::|%3A)(?:/|$)")
_PUNYCODE = "xn--"


def misspelling(uri: str) -> str:
    """Say what is wrong with the spelling of any URI, as a clause; "" if nothing is."""
    return "" if _BEYOND_DOUBT.fullmatch(uri) else _misspelled(uri)


def _misspelled(uri: str) -> str:
    if _CONTROL.search(uri):
        return "it has control characters"
    if uri != uri.strip() or uri != uri.strip(_BLANKS):
        return "it has blanks around it"
    if "\\" in uri:
        return "it has a backslash"
    scheme = _SCHEME.match(uri)
    if scheme and scheme[1] != scheme[1].lower():
        return f"its scheme is spelled {scheme[1].lower()!r}"
    if misleads(_path(uri), parameters=True):
        return "it has '.' or '..' for a segment"
    return ""


def abnormality(uri: str) -> str:
    """Say why a URI is not in its normal form, as a clause; "" if it is.

    Normal is what a parser of URLs writes exactly as it read it, RFC 3986 has room for, and has
    no equal under its section 6.2.2; a missing path of http stands for itself.
    """
    judges = (misspelling, _signs, _tail, _body)
    return next(filter(None, (judge(uri) for judge in judges)), "")


def authority_of(uri: str) -> str:
    """Return what stands between `//` and the path; "" where there is no such thing."""
    _, slashes, rest = uri.partition("://")
    return re.split(r"[/?#]", rest, maxsplit=1)[0] if slashes else ""


def _path(uri: str) -> str:
    """Return everything between the scheme and the query; a host is a segment like any other."""
    scheme = _SCHEME.match(uri)
    return _TAIL.split(uri[scheme.end() if scheme else 0 :], maxsplit=1)[0]


def _signs(uri: str) -> str:
    if not _SIGNS.fullmatch(uri):
        return "it has characters that have to be percent-encoded, in upper case"
    if _PLAIN_ENCODED.search(uri):
        return "it has characters percent-encoded that stand for themselves"
    return "" if _SCHEME.match(uri) else "it has no scheme"


def _tail(uri: str) -> str:
    """Judge query and fragment."""
    body, hash_sign, fragment = uri.partition("#")
    _, question_mark, query = body.partition("?")
    if (hash_sign and not fragment) or (question_mark and not query) or "#" in fragment:
        return "it has an empty query or fragment, or two fragments"
    if _BRACKETS.search(f"{query}{fragment}"):
        return "it has brackets that have to be percent-encoded"
    if "'" in query and uri.partition(":")[0] in _SPECIAL:
        return "it has an apostrophe in its query"
    return ""


def _body(uri: str) -> str:
    """Judge what stands between the scheme and the query."""
    scheme, _, rest = _TAIL.split(uri, maxsplit=1)[0].partition(":")
    slashes, start = rest[:2] == "//", rest[2:].find("/") + 2
    authority, path = (rest[2:], "") if start == 1 else (rest[2:start], rest[start:])
    if _BRACKETS.search(path if slashes else rest):
        return "it has brackets that have to be percent-encoded"
    if not slashes:
        return f"{scheme}: is followed by two slashes" if scheme in _SPECIAL else ""
    if scheme == "file":
        return _file(authority, path)
    if scheme in _SPECIAL and not path and scheme not in _EMPTY_PATH:
        return "its path is '/'"
    return _authority(scheme, authority)


def _authority(scheme: str, authority: str) -> str:
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or (parts["user"] and not _USER.fullmatch(parts["user"])):
        return "its user or host is not in its normal form"
    judge = _domain if scheme in _SPECIAL else _opaque
    return judge(parts["host"]) or _port(parts, _DEFAULT_PORTS.get(scheme, ""))


def _file(host: str, path: str) -> str:
    if host == "localhost" or not path or path[:2] == "//" or (host and _DRIVE.match(path)):
        return "its host or path is not in its normal form"
    return _domain(host) if host else ""


def _opaque(host: str) -> str:
    """Judge a host that means something to its own scheme only; it keeps its case."""
    if host.startswith("["):
        return _address(host)
    return "" if _OPAQUE_HOST.fullmatch(host) else "its host is not in its normal form"


def _domain(host: str) -> str:
    """Judge a host of the web: a name in lower case, or an address in its one spelling."""
    if host.startswith("["):
        return _address(host)
    labels = host.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        return "its host is not in its normal form"
    if _NUMBER.fullmatch(labels[-1]):
        try:
            same = str(ipaddress.IPv4Address(host)) == host
        except ValueError:
            same = False
        return "" if same else "its host is not the normal form of an address"
    if not all(_sound(label) for label in labels):
        return "its host is not the normal form of an international name"
    return ""


def _address(host: str) -> str:
    try:
        address = ipaddress.IPv6Address(host[1:-1])
    except ValueError:
        return "its host is not the normal form of an address"
    same = f"[{address.compressed}]" == host and "." not in host and "%" not in host
    return "" if same else "its host is not the normal form of an address"


def _sound(label: str) -> bool:
    """Say whether an encoded label is what its own decoding would be encoded as."""
    if not label.startswith(_PUNYCODE):
        return True
    encoded = label.removeprefix(_PUNYCODE)
    try:
        plain = encoded.encode("ascii").decode("punycode")
        return not plain.isascii() and plain.encode("punycode").decode("ascii") == encoded
    except UnicodeError:
        return False


def _port(parts: re.Match[str], default: str) -> str:
    port = parts["port"]
    if not parts["host"] and (parts["user"] or port is not None):
        return "it has a user or a port without a host"
    if port is None:
        return ""
    if not _PORT.fullmatch(port) or int(port) > _MOST_PORT or port == default:
        return "its port is empty, the scheme's own, or not a plain number"
    return ""
