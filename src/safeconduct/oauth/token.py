"""The token endpoint's judgement: codes and refresh tokens become a pair of new handles.

Every request is judged by the rows of that moment, see `standing`. A refresh token is rotated
at each use (RFC 9700 section 4.14.2); for a short grace period a rotated one still gets a pair
of its own, because several processes of one agent share a store and race. Outside it, or too
often, the whole session ends. A decision made inside a transaction is raised after it: a
rollback would bring back the used code and the ended session.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta
from typing import Any

import msgspec

from safeconduct.audit import Event, Trail
from safeconduct.core.clock import Clock
from safeconduct.core.encoding import to_base64url
from safeconduct.core.model import Value
from safeconduct.core.secrets import Secret, mint, same
from safeconduct.hosts import Host
from safeconduct.oauth import audiences, registry, scopes, store
from safeconduct.oauth.parameters import Parameters
from safeconduct.oauth.refusals import OAuthRefused, invalid_grant
from safeconduct.oauth.registry import Client
from safeconduct.oauth.revocations import end_family
from safeconduct.oauth.standing import Fallen, Standing, Standings
from safeconduct.oauth.store import AuthorizationCode, Token
from safeconduct.oauth.verifier import token_id
from safeconduct.policy import Device
from safeconduct.storage import Database, Write

VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 section 4.1
MOST_AGAIN = 5
_NO_CODE = "the code is not valid: it is unknown, used, late or another client's"
_NO_REFRESH = "the refresh token is not valid: it is unknown, used, late or another client's"


class Origin(Value, frozen=True):
    """Where a token request came from, for the record."""

    ip: str | None
    user_agent: str | None


class Pair(Value, frozen=True):
    """New handles, before they are told."""

    access: Secret
    refresh: Secret | None
    scope: tuple[str, ...]
    seconds: int


class TokenRequests:
    """Answers token requests of clients that are already proven."""

    def __init__(
        self, database: Database, *, standings: Standings, trail: Trail, clock: Clock
    ) -> None:
        self._database = database
        self._standings = standings
        self._trail = trail
        self._clock = clock

    async def answer(
        self, host: Host, client: Client, said: Parameters, origin: Origin
    ) -> dict[str, Any]:
        """Return the members of a token response.

        Raises:
            OAuthRefused: In the words of RFC 6749 section 5.2.
        """
        match said.get("grant_type"):
            case "authorization_code":
                pair = await self._redeem(host, client, said, origin)
            case "refresh_token":
                pair = await self._refresh(host, client, said, origin)
            case None:
                raise OAuthRefused("invalid_request", "grant_type is missing")
            case _:
                raise OAuthRefused("unsupported_grant_type", "the grant_type is not supported")
        answer: dict[str, Any] = {
            "access_token": pair.access.reveal(),
            "token_type": "Bearer",
            "expires_in": pair.seconds,
            "scope": " ".join(pair.scope),
        }
        if pair.refresh is not None:
            answer["refresh_token"] = pair.refresh.reveal()
        return answer

    async def _redeem(self, host: Host, client: Client, said: Parameters, origin: Origin) -> Pair:
        found = store.handle_digest(_needed(said, "code"), store.CODE)
        async with self._database.read() as tx:
            code = await store.find_code(tx, host.key, found) if found else None
        # Another client's attempt leaves the code as it is: it proves nothing about ours.
        if code is None or code.client != client.id:
            raise invalid_grant(_NO_CODE)
        standing = await self._standings.of(host, client, code.session, _device(origin))
        now = self._clock.now()
        async with self._database.write() as tx:
            first = await store.burn_code(tx, host.key, code, at=now)
            refused = _refusal(standing, _NO_CODE)
            if first and isinstance(standing, Standing):
                wrong = _wrong(host, code, said, now)
                if wrong is None:
                    return await self._issue(tx, host, client, standing, code, origin)
                refused = wrong
            # Nobody can use the session any more, or somebody did who should not.
            kind = "token.refused" if first else "code.reuse"
            self._record(kind, host, client, code, origin, standing)
            await end_family(tx, host.key, code.session, clock=self._clock, because=kind)
        raise refused

    async def _refresh(self, host: Host, client: Client, said: Parameters, origin: Origin) -> Pair:
        found = store.handle_digest(_needed(said, "refresh_token"), store.REFRESH)
        async with self._database.read() as tx:
            token = await store.find_token(tx, host.key, found) if found else None
        now = self._clock.now()
        if token is None or token.kind != store.REFRESH or token.client != client.id:
            raise invalid_grant(_NO_REFRESH)
        if not client.refreshes:
            raise OAuthRefused("unauthorized_client", "the client is not registered to refresh")
        if token.expires_at <= now:
            raise invalid_grant(_NO_REFRESH)
        _same_audience(host, token.resource, said)
        standing = await self._standings.of(host, client, token.session, _device(origin))
        refused = _refusal(standing, _NO_REFRESH)
        async with self._database.write() as tx:
            if isinstance(standing, Fallen):
                self._record("token.refused", host, client, token, origin, standing)
            elif (rotated := await self._rotated(tx, host, token, now)) is not None:
                return await self._issue(tx, host, client, standing, rotated, origin)
            else:
                self._record("token.reuse", host, client, token, origin, standing)
                await end_family(
                    tx, host.key, token.session, clock=self._clock, because="token.reuse"
                )
        raise refused

    async def _rotated(self, tx: Write, host: Host, token: Token, now: datetime) -> Token | None:
        """Return the token at its first use; with `used_at` at one of few within the grace."""
        if await store.rotate(tx, host.key, token, at=now):
            return token
        current = await store.find_token(tx, host.key, token.digest)
        if current is None or current.used_at is None:
            return None
        grace = timedelta(seconds=host.policies.tokens.refresh_grace_seconds)
        if abs(now - current.used_at) >= grace:  # a clock that leapt back opens nothing
            return None
        again = await store.rotate_again(tx, host.key, token, most=MOST_AGAIN)
        return current if again else None

    async def _issue(
        self,
        tx: Write,
        host: Host,
        client: Client,
        standing: Standing,
        spent: AuthorizationCode | Token,
        origin: Origin,
    ) -> Pair:
        now, session = self._clock.now(), standing.session
        scope = scopes.told(standing.consent.level, spent.level)
        seconds = host.policies.tokens.access_seconds
        if standing.seconds is not None:
            seconds = min(seconds, standing.seconds)
        until = min(now + timedelta(seconds=seconds), session.ends_at)
        pair = Pair(
            access=mint(store.ACCESS),
            refresh=mint(store.REFRESH) if client.refreshes else None,
            scope=scope,
            seconds=max(int((until - now).total_seconds()), 1),
        )
        rest = min(now + timedelta(seconds=session.idle_seconds), session.ends_at)
        for kind, secret, expires_at in (
            (store.ACCESS, pair.access, until),
            (store.REFRESH, pair.refresh, rest),
        ):
            if secret is not None:
                token = Token(
                    digest=store.handle_of(secret),
                    kind=kind,
                    session=session.id,
                    subject=session.subject,
                    client=session.client,
                    server=session.server,
                    resource=spent.resource,
                    scope=scope,
                    expires_at=expires_at,
                )
                await store.add_token(tx, host.key, token)
        await registry.note_use(tx, host.key, client.id, at=now)
        again = isinstance(spent, Token) and spent.used_at is not None
        event = _event("token.issued", host, client, origin, standing)
        self._trail.append(
            msgspec.structs.replace(
                event,
                token_id=token_id(store.handle_of(pair.access)),
                scope=" ".join(scope),
                reason="refresh.again" if again else None,
            )
        )
        return pair

    def _record(
        self,
        kind: str,
        host: Host,
        client: Client,
        handle: AuthorizationCode | Token,
        origin: Origin,
        standing: Standing | Fallen,
    ) -> None:
        event = _event(kind, host, client, origin, standing)
        self._trail.append(
            msgspec.structs.replace(
                event, session=handle.session, token_id=token_id(handle.digest), decision="deny"
            )
        )


def _refusal(standing: Standing | Fallen, otherwise: str) -> OAuthRefused:
    """Say no. To `invalid_grant` a client throws its token away, and its person signs in again."""
    if isinstance(standing, Fallen) and standing.passing:
        return OAuthRefused("access_denied", standing.message, status=403)
    return invalid_grant(otherwise)


def _wrong(
    host: Host, code: AuthorizationCode, said: Parameters, now: datetime
) -> OAuthRefused | None:
    """Say what keeps a code's first use from being right, or None."""
    if code.expires_at <= now:
        return invalid_grant(_NO_CODE)
    claimed = said.get("redirect_uri")
    if (code.redirect_sent or claimed is not None) and claimed != code.redirect_uri:
        return invalid_grant("redirect_uri is not the one of the authorization request")
    if not _proves(said.get("code_verifier") or "", code.challenge):
        return invalid_grant("code_verifier does not belong to the code_challenge")
    try:
        _same_audience(host, code.resource, said)
    except OAuthRefused as refused:
        return refused
    return None


def _proves(verifier: str, challenge: str) -> bool:
    if not VERIFIER.fullmatch(verifier):
        return False
    hashed = hashlib.sha256(verifier.encode("ascii")).digest()
    return same(to_base64url(hashed), challenge)


def _same_audience(host: Host, resource: str, said: Parameters) -> None:
    """Let a token request repeat its audience, and nothing else (RFC 8707 section 2.2)."""
    named = audiences.only(host, said.resources)
    if named is not None and named.resource != resource:
        raise OAuthRefused("invalid_target", "the grant is for another resource")


def _device(origin: Origin) -> Device:
    return Device(ip=origin.ip or "", user_agent=origin.user_agent or "")


def _needed(said: Parameters, name: str) -> str:
    value = said.get(name)
    if value is None:
        raise OAuthRefused("invalid_request", f"{name} is missing")
    return value


def _event(
    kind: str, host: Host, client: Client, origin: Origin, standing: Standing | Fallen
) -> Event:
    event = Event(
        kind=kind,
        host=host.key,
        client=client.id,
        client_name=client.name,
        ip=origin.ip,
        user_agent=origin.user_agent,
    )
    if isinstance(standing, Fallen):
        return msgspec.structs.replace(event, reason=standing.reason)
    return msgspec.structs.replace(
        event,
        subject=standing.session.subject,
        session=standing.session.id,
        server=standing.session.server,
        consent=standing.consent.id,
        granted_level=standing.consent.level.word,
    )
