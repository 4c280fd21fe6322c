"""Client assertions: `private_key_jwt` for clients that publish keys in their document.

RFC 7523 section 3. The keys are the document's, never the assertion's; algorithms come from
an allow-list of asymmetric ones; an assertion lives ten minutes at most and works once.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlalchemy import Column, String, Table, delete, insert
from sqlalchemy.exc import IntegrityError

from safeconduct.core.clock import Clock
from safeconduct.core.encoding import check_compact, from_base64url
from safeconduct.core.errors import GatewayError
from safeconduct.core.model import ClientId, HostId
from safeconduct.core.secrets import digest
from safeconduct.hosts import Host
from safeconduct.oauth.documents import Fetches
from safeconduct.oauth.metadata import ASSERTION_ALGORITHMS, TOKEN
from safeconduct.oauth.registry import Entry
from safeconduct.storage import Database, UtcTime, Write, host_column, metadata

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LONGEST_LIFE_SECONDS = 600
_LEEWAY_SECONDS = 30
_KEYS_BYTES = 64 * 1024
_KEYS_SECONDS = 300
_ASK_AGAIN_SECONDS = 60  # when an assertion names a key that is not in our copy
_MOST_KEY_SETS = 200
_FEWEST_BITS = 2048  # of an RSA modulus; shorter keys count as none (RFC 7518 section 3.3)
_UNUSABLE = (JoseError, ValueError, KeyError, TypeError, AttributeError, RecursionError)

_assertions = Table(
    "oauth_assertions",
    metadata,
    host_column(),
    Column("digest", String(64), primary_key=True),
    Column("expires_at", UtcTime, nullable=False, index=True),
)


class Assertions:
    """Verifies assertions; remembers key sets for a while and every assertion it accepted."""

    def __init__(self, database: Database, *, fetcher: Fetches, clock: Clock) -> None:
        self._database = database
        self._fetcher = fetcher
        self._clock = clock
        self._keys: dict[str, tuple[float, dict[str, Any]]] = {}

    async def proves(self, host: Host, entry: Entry, assertion: str) -> bool:
        """Say whether an assertion proves that its sender is this client, for the first time."""
        try:
            check_compact(assertion)
            keys = await self._keys_of(entry, _header(assertion).get("kid"))
            if keys is None:
                return False
            key_set = KeySet.import_key_set({"keys": _usable(keys["keys"])})
            claims = jwt.decode(assertion, key_set, algorithms=list(ASSERTION_ALGORITHMS)).claims
            self._registry(host, entry.client.id).validate(claims)
            if claims["exp"] > self._clock.seconds() + _LONGEST_LIFE_SECONDS:
                return False
            return await self._first_time(host.key, entry.client.id, claims)
        except _UNUSABLE:
            return False

    def _registry(self, host: Host, client: ClientId) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            now=int(self._clock.seconds()),
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": client},
            sub={"essential": True, "value": client},
            # The issuer is the one right audience; the endpoint's address is what older
            # clients send (RFC 7523 section 3 allows it).
            aud={"essential": True, "values": [host.origin, host.url(TOKEN)]},
            exp={"essential": True},
            jti={"essential": True},
        )

    async def _first_time(self, host: HostId, client: ClientId, claims: dict[str, Any]) -> bool:
        until = datetime.fromtimestamp(claims["exp"], tz=UTC) + timedelta(seconds=60)
        row = {"host": host, "digest": digest(f"{client} {claims['jti']}"), "expires_at": until}
        try:
            async with self._database.write() as tx:
                await tx.execute(insert(_assertions).values(**row))
        except IntegrityError:
            return False
        return True

    async def _keys_of(self, entry: Entry, kid: object) -> dict[str, Any] | None:
        if entry.jwks_uri is None:
            return entry.jwks
        until, keys = self._keys.get(entry.jwks_uri, (0.0, None))
        left = until - self._clock.seconds()
        young = left > _KEYS_SECONDS - _ASK_AGAIN_SECONDS
        if keys is not None and left > 0 and (young or _has(keys, kid)):
            return keys
        return await self._fetch(entry.jwks_uri)

    async def _fetch(self, jwks_uri: str) -> dict[str, Any] | None:
        try:
            fetched = await self._fetcher.get_json(jwks_uri, max_bytes=_KEYS_BYTES)
            keys = msgspec.json.decode(fetched.body, type=dict[str, Any])
        except (GatewayError, msgspec.DecodeError, RecursionError):
            return None
        if len(self._keys) >= _MOST_KEY_SETS:
            self._keys.clear()
        self._keys[jwks_uri] = (self._clock.seconds() + _KEYS_SECONDS, keys)
        return keys


def _header(assertion: str) -> dict[str, Any]:
    """Read the header, unproven; it only chooses among the client's own keys."""
    return dict(jws.extract_compact(assertion.encode()).headers())


def _has(keys: dict[str, Any], kid: object) -> bool:
    return kid is None or any(
        isinstance(key, dict) and key.get("kid") == kid for key in keys["keys"]
    )


def _usable(keys: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the keys that can prove something; a set may hold others (RFC 7517 section 5)."""
    found = []
    for key in keys:
        with contextlib.suppress(*_UNUSABLE):
            if not _is_weak(key):
                KeySet.import_key_set({"keys": [key]})
                found.append(key)
    return found


def _is_weak(key: dict[str, Any]) -> bool:
    """Say whether an RSA modulus is too short, however many zeros are written before it."""
    if key.get("kty") != "RSA":
        return False
    return int.from_bytes(from_base64url(key["n"]), "big").bit_length() < _FEWEST_BITS


def claimed_client(assertion: str) -> str | None:
    """Return the client an assertion names, unproven, to find the keys to prove it with."""
    try:
        claims = msgspec.json.decode(
            jws.extract_compact(check_compact(assertion).encode()).payload, type=dict[str, Any]
        )
    except (*_UNUSABLE, msgspec.DecodeError):
        return None
    subject = claims.get("sub")
    return subject if isinstance(subject, str) else None


async def forget_late(tx: Write, *, before: datetime) -> None:
    """Delete assertions that could not be used again anyway, on every host."""
    await tx.execute(delete(_assertions).where(_assertions.c.expires_at < before))
