"""The shapes a text may have: each function returns it in its one spelling or says what to write.

A message never repeats the text. Names and addresses are judged here, not resolved: what a
name resolves to is the business of whoever connects.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable
from urllib.parse import SplitResult, parse_qsl, urlsplit

from safeconduct.core import redirects
from safeconduct.core.binding import ambiguity_of, check_template, variables_of
from safeconduct.core.bypasses import read_bypass
from safeconduct.core.edges import read_edge
from safeconduct.core.emails import is_email, normal_email
from safeconduct.core.http_request import METHODS, check_path
from safeconduct.core.redirects import Kind
from safeconduct.core.resource_uri import abnormality

Form = Callable[[str], str]

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
_RELATION = r"[a-z][a-z0-9_]{0,62}"
_LONGEST_TEMPLATE = 512
LONGEST_PASSWORD_BYTES = 1024
_DATABASES = frozenset({"postgresql", "postgresql+psycopg", "sqlite", "sqlite+aiosqlite"})
# The driver's own reading: a password may hold everything but '@'.
_POSTGRESQL = re.compile(
    r"([^:/]*(:[^@]*)?@)?(?P<host>\[[^/?\]]+\]|[^/:?]+)?(:(?P<port>[^/?]*))?(/[^?]*)?(\?(?P<query>.*))?"
)
_OWN_HEADERS = frozenset(
    {"accept-encoding", "connection", "content-encoding", "content-length", "content-type"}
    | {"cookie", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding"}
    | {"upgrade", "user-agent"}
)


def host_key(text: str) -> str:
    return _matching(
        text,
        r"[a-z][a-z0-9-]{0,62}",
        "must be 1 to 63 lower-case letters, digits or '-', and start with a letter",
    )


def server_key(text: str) -> str:
    return _matching(
        text,
        r"[a-z][a-z0-9_-]{0,62}",
        "must be 1 to 63 lower-case letters, digits, '_' or '-', and start with a letter",
    )


def name(text: str) -> str:
    return _matching(text, r"(?=.*\S)[^\n\t]{1,200}", "must be one line of 1 to 200 characters")


def email(text: str) -> str:
    """Return an address in one spelling: people type the same one in different cases."""
    if not is_email(text):
        raise ValueError("must be an email address such as alice@example.com")
    return normal_email(text)


def listen(text: str) -> str:
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not host or (":" in bare and bare == host) or not re.fullmatch(r"[0-9]{1,5}", port):
        raise ValueError("must be ADDRESS:PORT, such as 127.0.0.1:8420 or [::1]:8420")
    if int(port) > 65535:
        raise ValueError("the port must be at most 65535")
    _check_machine(host)
    return text


def target(text: str) -> str:
    """Return where a service of our own listens: a name or an address, and a port."""
    host, _, port = text.lower().rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if (":" in bare) == (bare == host) or not re.fullmatch(r"[0-9]{1,5}", port):
        raise ValueError("must be HOST:PORT, such as spicedb.internal:50051")
    if not 0 < int(port) <= 65535:
        raise ValueError("the port must be 1 to 65535")
    _split(f"https://{host}:{port}")
    return f"{host}:{port}"


def network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise ValueError(
            "must be an address or a network without host bits, such as 10.0.0.0/8"
        ) from None


def origin(text: str) -> str:
    """Scheme, host and port as browsers send them (RFC 6454 section 6.2)."""
    parts = _split(text)
    if parts.path or parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError("must be scheme, name and port only: no path and no slash at the end")
    if parts.scheme == "http" and (parts.hostname or "") not in LOOPBACK_NAMES:
        raise ValueError("must use https; plain http is for localhost, 127.0.0.1 and [::1] only")
    standard = {"http": 80, "https": 443}[parts.scheme]
    if parts.port == standard or parts.netloc.endswith(":"):
        raise ValueError(f"must leave out the standard port (:{standard})")
    return text.lower()


def url(text: str) -> str:
    parts = _split(text)
    if parts.fragment or "#" in text:
        raise ValueError("must have no fragment ('#')")
    return text


def api_base(text: str) -> str:
    """Return what the paths of an HTTP API follow, without a slash at its end."""
    parts = _split(text)
    if "?" in text or "#" in text:
        raise ValueError("must have no query ('?') and no fragment ('#')")
    with_path = parts.path.rstrip("/")
    if with_path:
        check_path(with_path)
    if "{" in text or len(text) > 1024:
        raise ValueError("must be one address, with nothing to fill in")
    return text.rstrip("/")


def http_request(text: str) -> str:
    """Return a method and a path, such as `GET /repos/{owner}`."""
    method, space, path = text.partition(" ")
    if method not in METHODS or not space:
        raise ValueError(
            f"must be a method ({', '.join(METHODS)}) and a path: GET /repos/{{owner}}"
        )
    check_path(path)
    return text


def tool_name(text: str) -> str:
    return _matching(
        text, r"[A-Za-z0-9_.-]{1,128}", "must be 1 to 128 letters, digits, '_', '-' or '.'"
    )


def sent_header(text: str) -> str:
    """Return the name of a header that requests may carry beside those we write ourselves."""
    name = text.lower()
    if not re.fullmatch(r"[a-z0-9!#$%&'*+.^_`|~-]{1,100}", name):
        raise ValueError("must be the name of an HTTP header, such as x-api-key")
    if name in _OWN_HEADERS or name.startswith(("mcp-", "proxy-")):
        raise ValueError("is a header that the gateway writes itself, or never sends")
    return name


def document_url(text: str) -> str:
    """Accept the URL of a client's metadata document: https with a path, compared exactly."""
    parts = _split(text)
    if parts.scheme != "https" or parts.path in {"", "/"} or "#" in text:
        raise ValueError("must be an https URL with a path and no fragment")
    return text


def git_url(text: str) -> str:
    """Where git fetches from: nothing in it that git could take for an option or a helper."""
    scheme, mark, rest = text.partition("://")
    if not mark or scheme not in {"https", "http", "ssh", "file"} or not rest:
        raise ValueError("must begin with https:// or ssh://")
    if not re.fullmatch(r"[\x21-\x7e]{1,500}", text) or re.search(r"[\\?#]", text):
        raise ValueError("must be ASCII without spaces, backslashes, '?' and '#'")
    if scheme == "file":
        if not rest.startswith("/"):
            raise ValueError("must be file:// and a whole path")
        return text
    if scheme == "ssh":
        user, at, _ = rest.partition("/")[0].rpartition("@")
        if at and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", user):
            raise ValueError("must hold a plain user name such as git, and no password")
        _split(f"https://{rest.partition('@')[2] if at else rest}")
        return text
    _split(text)
    return text


def git_branch(text: str) -> str:
    """Return the name of a branch (git-check-ref-format), without what git gives a meaning."""
    form = r"[A-Za-z0-9_][A-Za-z0-9_.+/-]{0,199}"
    if not re.fullmatch(form, text) or re.search(r"\.\.|//|/\.|\.lock(/|$)|[./]$", text):
        raise ValueError("must be the name of a branch, such as main or env/production")
    return text


def inner_path(text: str) -> str:
    """Return a path inside something, from its top: never out of it."""
    parts = text.split("/")
    if text != "." and (
        not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_./ -]{0,199}", text) or {"", ".", ".."} & {*parts}
    ):
        raise ValueError("must be a path such as policies/acme, without '..', or '.' for the top")
    return text


def domain(text: str) -> str:
    lowered = text.lower()
    if not _NAME.fullmatch(lowered):
        raise ValueError("must be a host name such as example.com")
    return lowered


def redirect_uri(text: str) -> str:
    """Where a code may be sent, judged as when it is asked for (RFC 8252)."""
    if redirects.kind_of(text) is Kind.REFUSED:
        raise ValueError(
            "must be https://…, http:// on localhost, 127.0.0.1 or [::1], or an app's own scheme "
            "such as cursor://…, in lower case; no spaces, '*', '#', backslashes or user names, "
            "and no scheme that runs, reads or sends something by itself"
        )
    return text


def is_private_scheme(text: str) -> bool:
    return redirects.kind_of(text) is Kind.PRIVATE


def relation(text: str) -> str:
    try:
        read_edge(text)
    except ValueError:
        ending = "[expiration:" in text
        raise ValueError(
            "must be object#relation@subject, such as ticket:T-7#assignee@user:alice@acme.test"
            + (", and expire at a time with a zone: [expiration:2026-12-01T00:00:00Z]" * ending)
        ) from None
    return text


def argument_path(text: str) -> str:
    return _matching(
        text,
        r"arguments(\.(\*|[^.*\s][^.\s]{0,127})){1,16}",
        "must lead from arguments to a value, such as arguments.issue_id or arguments.ids.*",
    )


def object_of_value(text: str) -> str:
    """Return a template that spells an object from one value."""
    return _template(text, frozenset({"value"}))


def object_of_uri(text: str) -> str:
    """Return a template that spells an object from the parts of a URI."""
    return _template(text, variables_of(text))


def uri_template(text: str) -> str:
    filled = re.sub(r"\{[a-z_][a-z0-9_]{0,31}\}", "x", text)
    if ":" not in filled or "{" in filled or len(text) > _LONGEST_TEMPLATE:
        raise ValueError("must be a URI, with or without parts to fill in, such as ticket://{id}")
    fault = abnormality(filled)
    if fault:
        raise ValueError(f"fits no URI that is accepted: {fault}")
    ambiguity = ambiguity_of(text)
    if ambiguity:
        raise ValueError(f"must have one reading: {ambiguity}")
    return text


def permission(text: str) -> str:
    return _matching(text, _RELATION, "must be the name of a permission or relation, such as edit")


def _template(text: str, variables: frozenset[str]) -> str:
    problem = check_template(text, variables)
    if problem:
        raise ValueError(f"does not spell an object: {problem}")
    return text


def database(text: str) -> str:
    """Where the database is: everything in it that its driver would fail over when it starts."""
    scheme, mark, rest = text.partition("://")
    if not mark or scheme not in _DATABASES:
        raise ValueError("must be a URL that starts with postgresql+psycopg:// or sqlite://")
    if scheme.startswith("sqlite"):
        if not re.fullmatch(r"/(?!:memory:)[^?]+(\?.*)?", rest):
            raise ValueError("must be sqlite:/// and the path of a file; memory keeps nothing")
        return text
    found = _POSTGRESQL.fullmatch(rest)
    if found is None:
        raise ValueError("must be postgresql+psycopg://NAME@HOST:PORT/DATABASE")
    _check_port(found["port"])
    for host in found["host"].split(",") if found["host"] else ():
        _check_machine(host)
    for name, value in parse_qsl(found["query"] or "", keep_blank_values=True):
        _check_parameter(name, value)
    return text


def _check_parameter(name: str, value: str) -> None:
    """Judge what a database's URL says behind `?`: another host or port, or one of several."""
    if name == "port":
        for port in value.split(","):
            _check_port(port)
    elif name == "host":
        for host in value.split(","):
            named, _, port = host.partition(":") if host.count(":") == 1 else (host, "", "")
            _check_port(port)
            if not named.startswith(("/", "@")):  # the directory of a socket
                _check_machine(named)


def _check_port(port: str | None) -> None:
    if port and not (re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) <= 65535):
        raise ValueError("the port must be a number from 1 to 65535")


def forward_proxy(text: str) -> str:
    try:
        parts = urlsplit(text)
        fits = parts.scheme == "http" and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    if not fits or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("must be http://HOST:PORT; https to it is not spoken")
    _check_machine(parts.netloc.rpartition("@")[2].removesuffix(f":{parts.port}"))
    return text


def bypass(text: str) -> str:
    """Return what is reached without the forward proxy: a name, an address or a network."""
    return read_bypass(text)


def holds_password(text: str) -> bool:
    """Whether a URL carries its password; errs on the side of yes."""
    authority = text.partition("://")[2]
    userinfo, at, _ = authority.rpartition("@")
    return (bool(at) and ":" in userinfo) or re.search(r"(?i)pass(word|file)?=", text) is not None


def client_id(text: str) -> str:
    if re.match(r"(?i)https?://", text):
        raise ValueError("must not be a URL; a client that is one belongs in client_documents.add")
    return _matching(text, r"[\x21-\x7e]{1,255}", "must be 1 to 255 printable ASCII characters")


def point_id(text: str) -> str:
    return _matching(
        text,
        r"[a-z0-9]([a-z0-9_.-]{0,61}[a-z0-9])?",
        "must be 1 to 63 of a-z, 0-9, '_', '.' and '-', with a letter or digit at both ends",
    )


def is_strong(secret: str) -> bool:
    """Whether a secret can stand in a header line and is long enough not to be guessed."""
    return re.fullmatch(r"[\x21-\x7e]{20,256}", secret) is not None


def is_password(secret: str) -> bool:
    """Whether a secret is short enough for a password: more is never hashed."""
    if len(secret) > LONGEST_PASSWORD_BYTES:
        return False
    spelled = unicodedata.normalize("NFKC", secret)
    return len(spelled.encode("utf-8", "surrogatepass")) <= LONGEST_PASSWORD_BYTES


def is_header_value(secret: str) -> bool:
    """Whether a secret can be a header's value as it is, blanks inside it included."""
    return re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]{0,8190}[\x21-\x7e])?", secret) is not None


def address_of(upstream: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the literal address in a URL, or None when it holds a name."""
    try:
        found = ipaddress.ip_address(urlsplit(upstream).hostname or "")
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def is_loopback(upstream: str) -> bool:
    """Whether the URL says by itself that it stays on this machine."""
    named = (urlsplit(upstream).hostname or "").rstrip(".")
    found = address_of(upstream)
    if found is not None:
        return found.is_loopback or found.is_unspecified
    return named == "localhost" or named.endswith(".localhost")


def is_private(upstream: str) -> bool:
    """Whether the URL names an address outside the public internet."""
    found = address_of(upstream)
    return found is not None and not found.is_global


def _matching(text: str, pattern: str, otherwise: str) -> str:
    if not re.fullmatch(pattern, text):
        raise ValueError(otherwise)
    return text


def _split(text: str) -> SplitResult:
    """Take an http or https URL apart; whatever two parsers could read differently is refused."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("must be a URL such as https://example.com") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ValueError("must be an http or https URL such as https://example.com")
    if not re.fullmatch(r"[\x21-\x7e]+", text) or "\\" in text:
        raise ValueError("must be ASCII without spaces or backslashes; write names as xn--…")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password")
    _check_host(parts.hostname)
    return parts


def _check_machine(host: str) -> None:
    """Judge a name or an address, one of IPv6 with its brackets or without."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" not in bare and bare == host:
        _check_host(host.lower())
        return
    try:
        ipaddress.IPv6Address(bare)
    except ValueError:
        raise ValueError("must hold a name or an address, such as [::1]") from None


def _check_host(hostname: str) -> None:
    if ":" in hostname:
        return  # urlsplit let only a well-formed [address] through
    last = hostname.rstrip(".").rpartition(".")[2]
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", last):
        # "2130706433" and "0x7f.1" are addresses to some resolvers and names to others.
        try:
            ipaddress.IPv4Address(hostname)
        except ValueError:
            raise ValueError("must write an IPv4 address as four decimal numbers") from None
    elif not _NAME.fullmatch(hostname):
        raise ValueError("must have a valid host name")
