"""Dynamic registration (RFC 7591): a client describes itself and gets an id.

It proves nothing, so it costs us little: bodies are small, an identical one from the same
address within ten minutes gets the same id, clients nobody consents to are forgotten, and what
an address may have us write in a day is bounded (in each worker), since records are not forgotten.
Unknown members are ignored; the id is never the client's choice.
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Any

from safeconduct.audit import Budget, Event, Trail
from safeconduct.core import redirects
from safeconduct.core.canonical import StrictJSONError, fingerprint, parse
from safeconduct.core.clock import Clock
from safeconduct.core.model import ClientId, Value
from safeconduct.core.redirects import Kind
from safeconduct.core.secrets import Secret, digest, mint, new_id
from safeconduct.hosts import Host
from safeconduct.oauth import names, registry, scopes
from safeconduct.oauth.metadata import GRANT_TYPES
from safeconduct.oauth.refusals import OAuthRefused
from safeconduct.oauth.registry import Client, Entry
from safeconduct.storage import Database, Write

MAX_BODY_BYTES = 16 * 1024
_MOST_REDIRECTS, _LONGEST_TOGETHER = 20, 4096
_MOST_SHOWN, _LONGEST_SHOWN = 3, 80
_METHODS = ("none", "client_secret_basic", "client_secret_post")
_SAME_FOR = timedelta(minutes=10)
_SIGN_IN_TAKES = timedelta(minutes=15)
UNUSED_FOR = timedelta(days=7)
# About a thousand registrations at once, and then one every two seconds: 44 MB a day.
_BYTES_AT_ONCE, _BYTES_EACH_SECOND = 1024 * 1024, 512
_RECORD_BYTES = 1024
_IPV6_PREFIX = 64  # what one subscriber usually gets


class Wish(Value, frozen=True):
    """A registration request, judged and cut down to what we use."""

    name: str
    redirect_uris: tuple[str, ...]
    method: str
    grant_types: tuple[str, ...]
    application_type: str


class Registrations:
    """Registers clients of hosts that allow it."""

    def __init__(
        self, database: Database, *, trail: Trail, clock: Clock, most_unused: int = 2000
    ) -> None:
        """Prepare.

        Args:
            database: Where clients are kept.
            trail: Every new client is written down.
            clock: Dates them.
            most_unused: Clients per host that nobody has consented to yet. More than one
                address can register while they are kept (100 a minute), or it alone could
                keep everybody else from registering.
        """
        self._database = database
        self._trail = trail
        self._clock = clock
        self._most_unused = most_unused
        self._budget = Budget(
            at_once=_BYTES_AT_ONCE, each_second=_BYTES_EACH_SECOND, seconds=clock.seconds
        )

    async def register(self, host: Host, body: bytes, *, ip: str | None) -> dict[str, Any]:
        """Register a client and return the answer's members.

        Raises:
            OAuthRefused: In the words of RFC 7591 section 3.2.2.
        """
        if not host.policies.clients.registration:
            raise OAuthRefused(
                "access_denied", "this host does not let clients register", status=403
            )
        said = _object(body)
        wish = read(said, private_schemes=host.policies.clients.private_schemes)
        request_digest = digest(f"{ip} {fingerprint(said)}")
        now = self._clock.now()
        async with self._database.write() as tx:
            if wish.method == "none":  # a secret is told once, so it cannot be told again
                before = await registry.same_request(
                    tx, host.key, request_digest, since=now - _SAME_FOR
                )
                if before is not None:
                    return self._answer(before, wish, None)
            self._spend(host, wish, ip)
            await self._make_room(tx, host)
            secret = None if wish.method == "none" else mint("sc_cs")
            client = _client(wish)
            entry = Entry(client=client, secret_digest=digest(secret.reveal()) if secret else None)
            await registry.put(tx, host.key, entry, at=now, request_digest=request_digest)
            # Anybody may fill the trail with this: it says where the client is, and no more.
            uris = client.redirect_uris[:_MOST_SHOWN]
            self._trail.append(
                Event(
                    kind="client.registered",
                    host=host.key,
                    client=client.id,
                    client_name=client.name,
                    ip=ip,
                    detail={
                        "redirects": [redirects.host_of(uri)[:_LONGEST_SHOWN] for uri in uris],
                        "addresses": len(client.redirect_uris),
                        "method": wish.method,
                    },
                )
            )
        return self._answer(client, wish, secret)

    def _spend(self, host: Host, wish: Wish, ip: str | None) -> None:
        """Take what a registration costs from what its address may have us write."""
        size = _RECORD_BYTES + len(wish.name.encode()) + sum(map(len, wish.redirect_uris))
        if not self._budget.take((host.key, _subscriber(ip)), size):
            raise OAuthRefused(
                "temporarily_unavailable",
                "too many clients registered from this address; try again later, or use one that "
                "is registered already",
                status=429,
            )

    async def _make_room(self, tx: Write, host: Host) -> None:
        """Forget who was never used; refuse rather than push out a sign-in under way."""
        now = self._clock.now()
        await registry.forget_unused(tx, host.key, before=now - UNUSED_FOR)
        surplus = await registry.unused(tx, host.key) - self._most_unused + 1
        if surplus <= 0:
            return
        before = now - _SIGN_IN_TAKES
        if await registry.forget_unused(tx, host.key, before=before, most=surplus) < surplus:
            raise OAuthRefused(
                "temporarily_unavailable", "too many clients are registering", status=503
            )

    def _answer(self, client: Client, wish: Wish, secret: Secret | None) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "client_id": client.id,
            "client_id_issued_at": int(self._clock.seconds()),
            "client_name": client.name,
            "redirect_uris": list(client.redirect_uris),
            "grant_types": list(wish.grant_types),
            "response_types": ["code"],
            "token_endpoint_auth_method": wish.method,
            "application_type": wish.application_type,
            "scope": scopes.BASIC,
        }
        if secret is not None:
            answer |= {"client_secret": secret.reveal(), "client_secret_expires_at": 0}
        return answer


def read(said: dict[str, Any], *, private_schemes: bool) -> Wish:
    """Judge a registration request.

    Raises:
        OAuthRefused: `invalid_redirect_uri`, `invalid_client_metadata` or
            `invalid_software_statement`.
    """
    if "software_statement" in said:
        raise OAuthRefused(
            "invalid_software_statement", "software statements are not supported here"
        )
    uris = _redirect_uris(said.get("redirect_uris"), private_schemes=private_schemes)
    return Wish(
        name=names.shown(_text(said, "client_name", "")),
        redirect_uris=uris,
        method=_method(said),
        grant_types=_grant_types(said),
        application_type=_application_type(said, uris),
    )


def _subscriber(ip: str | None) -> str:
    """Return whose address it probably is: of IPv6, the network of one subscriber."""
    try:
        parsed = ipaddress.ip_address(ip or "")
    except ValueError:
        return ip or ""
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = parse(body)
    except StrictJSONError as error:
        raise _unusable(f"the request is not usable JSON: {error}") from error
    if not isinstance(said, dict):
        raise _unusable("the request is not a JSON object")
    return said


def _redirect_uris(said: object, *, private_schemes: bool) -> tuple[str, ...]:
    """Keep what may be used.

    One dangerous address refuses them all, a merely unwanted one only itself: some clients
    register the addresses of all their editions at once.
    """
    if not isinstance(said, list) or not 1 <= len(said) <= _MOST_REDIRECTS:
        raise _bad_redirect("redirect_uris must hold 1 to 20 addresses")
    if sum(len(uri) for uri in said if isinstance(uri, str)) > _LONGEST_TOGETHER:
        raise _bad_redirect(f"redirect_uris have at most {_LONGEST_TOGETHER} characters together")
    kept: list[str] = []
    for uri in said:
        if not isinstance(uri, str) or redirects.kind_of(uri) is Kind.REFUSED:
            raise _bad_redirect("redirect addresses are https, loopback http or private-use")
        if redirects.kind_of(uri) is not Kind.PRIVATE or private_schemes:
            kept.append(uri)
    if not kept:
        raise _bad_redirect("this host does not allow private-use schemes")
    return tuple(dict.fromkeys(kept))


def _application_type(said: dict[str, Any], uris: tuple[str, ...]) -> str:
    """Honour `application_type`; left out, it follows from the addresses."""
    native = any(redirects.kind_of(uri) is not Kind.HTTPS for uri in uris)
    named = _text(said, "application_type", "native" if native else "web")
    if named not in ("native", "web"):
        raise _unusable("application_type is native or web")
    if named == "web" and native:
        raise _bad_redirect("a web client's redirect addresses are https")
    return named


def _method(said: dict[str, Any]) -> str:
    method = _text(said, "token_endpoint_auth_method", "client_secret_basic")
    if method not in _METHODS:
        raise _unusable("the token_endpoint_auth_method cannot be registered here")
    return method


def _grant_types(said: dict[str, Any]) -> tuple[str, ...]:
    grants = _texts(said, "grant_types", list(GRANT_TYPES))
    if "authorization_code" not in grants or "code" not in _texts(said, "response_types", ["code"]):
        raise _unusable("clients here use authorization codes")
    return tuple(grant for grant in GRANT_TYPES if grant in grants)


def _client(wish: Wish) -> Client:
    return registry.dynamic(
        ClientId(new_id("sc_client")),
        name=wish.name,
        redirect_uris=wish.redirect_uris,
        method=wish.method,
        refreshes="refresh_token" in wish.grant_types,
    )


def _text(said: dict[str, Any], name: str, default: str) -> str:
    value = said.get(name, default)
    if value is None:
        return default
    if not isinstance(value, str):
        raise _unusable(f"{name} is not a text")
    return value


def _texts(said: dict[str, Any], name: str, default: list[str]) -> list[str]:
    value = said.get(name, default)
    if value is None:
        return default
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise _unusable(f"{name} is not a list of texts")
    return value


def _unusable(why: str) -> OAuthRefused:
    return OAuthRefused("invalid_client_metadata", why)


def _bad_redirect(why: str) -> OAuthRefused:
    return OAuthRefused("invalid_redirect_uri", why)
