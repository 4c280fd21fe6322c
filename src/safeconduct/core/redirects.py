"""Redirect addresses: what may be registered, what matches, and how to send somebody there.

RFC 8252 section 7 (native apps), RFC 9700 section 4.1 (exact match). Addresses are judged as
texts by expressions that know one spelling only; a URL parser would bring its own opinion
about what browsers do with the odd ones. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from urllib.parse import quote

LONGEST = 2048

_REST = r"(?P<rest>(?:/[!$&-;=@-Z_a-z~%]*)?(?:\?[!$&-;=?@-Z_a-z~%/]*)?)"
_PORT = r"(?::(?P<port>[1-9][0-9]{0,4}))?"
_LOOPBACK = re.compile(rf"http://(?P<name>localhost|127\.0\.0\.1|\[::1\]){_PORT}{_REST}")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HTTPS = re.compile(rf"https://(?P<name>(?:{_LABEL}\.)*{_LABEL}|\[[0-9A-Fa-f:.]+\]){_PORT}{_REST}")
_PRIVATE = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]{1,63}):(?=/)(?://(?P<name>[A-Za-z0-9._~-]{0,253}))?" + _REST
)
# Schemes that a system or a browser answers itself: nothing sent there reaches the client
# that registered it, and some of them run what they are given.
_BROWSERS = (
    r"about|applewebdata|arc|blob|brave|brave-.*|cast|chrome.*|cid|data|devtools|edge|edge-.*|"
    r"extension|externalfile|feed|file|filesystem|ftp|ftps|gopher|http|https|isolated-app|jar|"
    r"javascript|jnlps?|livescript|mhtml|microsoft-edge.*|mid|mk|mocha|moz-.*|opera|opera-.*|"
    r"page-icon|res|resource|safari|safari-.*|urn|vbscript|view-source|vivaldi|vivaldi-.*|wais|"
    r"web\+.*|webkit.*|ws|wss|wyciwyg"
)
_SYSTEMS = (
    r"addressbook|admin|android-app|app|app-prefs|app-settings|apple-.*|applenews|applescript|"
    r"appletv|appstream|apt|calshow|computer|contacts?|content|control|dict|facetime.*|flatpak|"
    r"geo|ghelp|gnome.*|hcp|help|ibooks|ical|imessage|info|intent|itms.*|its|macappstores?|man|"
    r"maps?|market|message|microsoft\..*|ms-.*|music|odopen|otpauth.*|pcast|photos.*|podcasts?|"
    r"prefs|recent|search|search-ms|settings|shell|shortcuts|snap|systemsettings|trash|"
    r"windows.*|workflow|x-apple.*|x-dictionary|x-help.*|x-man-page|x-radar|x-web-search|"
    r"x-webdoc"
)
_SERVICES = (
    r"afp|aim|archive|burn|callto|cifs|davs?|fido|fish|gphoto2|ichat|imaps?|irc|irc6|ircs|"
    r"ldapi?|ldaps|magnet|mailto|mapi|mms|mmsto|mtp|network|news|nfs|nntp|obex|outlookfeed|"
    r"pops?|rdp|rlogin|rtmp|rtsp|sftp|sip|sips|smb|sms|smsto|snews|ssh|stssync|svn|svn\+ssh|tel|"
    r"telnet|telprompt|tftp|tn3270|vnc|voicemail|webcals?|xmpp"
)
_NOT_PRIVATE = re.compile(f"{_BROWSERS}|{_SYSTEMS}|{_SERVICES}")


class Kind(Enum):
    """What sort of place an address is."""

    HTTPS = "https"
    LOOPBACK = "loopback"
    PRIVATE = "private"
    REFUSED = "refused"


def kind_of(uri: str) -> Kind:
    """Say what sort of place an address is; REFUSED for everything nobody may register."""
    if len(uri) > LONGEST or "*" in uri:
        return Kind.REFUSED
    for pattern, kind in ((_HTTPS, Kind.HTTPS), (_LOOPBACK, Kind.LOOPBACK)):
        found = pattern.fullmatch(uri)
        if found:
            return kind if int(found["port"] or 0) <= 65_535 else Kind.REFUSED
    private = _PRIVATE.fullmatch(uri)
    if private is None or _NOT_PRIVATE.fullmatch(private["scheme"]):
        return Kind.REFUSED
    return Kind.PRIVATE


def host_of(uri: str) -> str:
    """Return what to show a person: the host name, or the scheme of a private-use address."""
    kind = kind_of(uri)
    if kind is Kind.HTTPS and (found := _HTTPS.fullmatch(uri)):
        return found["name"].lower()
    if kind is Kind.LOOPBACK and (found := _LOOPBACK.fullmatch(uri)):
        return found["name"]
    return uri.partition(":")[0]


def matches(requested: str, registered: Iterable[str]) -> bool:
    """Say whether a requested address is one of the registered ones.

    Exactly the same text, but for one exception: on loopback `http` the port is chosen at
    run time and does not count (RFC 8252 section 7.3). The name does: `localhost` and
    `127.0.0.1` may lead to different programs.
    """
    known = tuple(registered)
    if kind_of(requested) is Kind.REFUSED:
        return False
    if requested in known:
        return True
    mine = _LOOPBACK.fullmatch(requested)
    if mine is None:
        return False
    others = (_LOOPBACK.fullmatch(uri) for uri in known)
    return any(
        other is not None and (other["name"], other["rest"]) == (mine["name"], mine["rest"])
        for other in others
    )


def with_answer(uri: str, answer: dict[str, str]) -> str:
    """Add the answer to a redirect address, spaces as %20: some clients show a plus as it is."""
    query = "&".join(
        f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in answer.items()
    )
    return f"{uri}{'&' if '?' in uri else '?'}{query}"
