"""A person's answer to an ask: what binds it, what it may grant, and where it leads.

Whoever shows pages asks here and nowhere else. Limits are enforced when the answer is given,
whatever the page showed: the admin's ceiling, the longest duration, one answer per ask. One
transaction grants the consent, opens the session and makes the code, after all of it has been
written down.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from safeconduct import consent as consents
from safeconduct import sessions
from safeconduct.audit import Event, Trail
from safeconduct.consent import Consent, Consents
from safeconduct.core import redirects
from safeconduct.core.clock import Clock
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import ConsentId, HostId, Level, ServerKey, SessionId, SubjectId
from safeconduct.core.redirects import Kind
from safeconduct.core.secrets import digest, mint, new_id
from safeconduct.hosts import Host
from safeconduct.oauth import asks, registry, store
from safeconduct.oauth.asks import Ask
from safeconduct.oauth.authorize import answered
from safeconduct.oauth.clients import Clients
from safeconduct.oauth.forecasts import Forecast, Forecasts
from safeconduct.people import Person
from safeconduct.relations import Ceilings
from safeconduct.sessions import Session
from safeconduct.storage import Database, Write
from safeconduct.upstreams import Catalogue, Server

CODE_LIVES = timedelta(seconds=60)
_GONE = "This request has expired. Start again from the program that sent you here."
_TAKEN = "This request was already answered. Start again from the program if it still waits."
_CHANGED = "The program has changed. Start again from it."
_FOREIGN = "This request was opened in another browser or by another person. Start again."
_AGENT_LONGEST = 512


class Authorizations:
    """Shows asks to people and turns their answers into redirects."""

    def __init__(
        self,
        database: Database,
        *,
        clients: Clients,
        catalogue: Catalogue,
        ceilings: Ceilings,
        consents: Consents,
        forecasts: Forecasts,
        trail: Trail,
        clock: Clock,
    ) -> None:
        self._database = database
        self._clients = clients
        self._catalogue = catalogue
        self._ceilings = ceilings
        self._consents = consents
        self._forecasts = forecasts
        self._trail = trail
        self._clock = clock

    async def ask(self, host: Host, ask_id: str, *, browser: str, subject: SubjectId) -> Ask:
        """Return an ask this person may answer, binding it to them at first sight.

        Args:
            host: The tenant.
            ask_id: From the address of the page.
            browser: The browser's session, as its cookie or any digest of it; keep to one.
            subject: The signed-in person.

        Raises:
            Refused: NOT_FOUND when it is unknown or late, CONFLICT when it was answered or
                somebody else has seen it first, or the client describes itself otherwise
                than when it asked.
        """
        mine = digest(browser)
        async with self._database.write() as tx:
            await asks.bind(tx, host.key, ask_id, browser=mine, subject=subject)
            found = await asks.find(tx, host.key, ask_id)
        if found is None or found.expires_at <= self._clock.now():
            raise Refused(Code.NOT_FOUND, _GONE)
        if not found.belongs_to(mine, subject):
            raise Refused(Code.CONFLICT, _FOREIGN)
        if found.answered:
            raise Refused(Code.CONFLICT, _TAKEN)
        client = await self._clients.get(host, found.request.client)
        if client is None or client.blocked:
            raise Refused(Code.NOT_FOUND, "The program is not allowed here any more.")
        if client.digest != found.request.client_digest:
            raise Refused(Code.CONFLICT, _CHANGED)  # the page and the answer see the same one
        return Ask(
            id=ask_id,
            host=host.key,
            client=client,
            request=found.request,
            expires_at=found.expires_at,
        )

    async def foresee(
        self, host: Host, ask: Ask, person: Person, server: Server, ip: str | None
    ) -> Mapping[Level, Forecast]:
        """Return what the host's rules will say of this person and agent, for every level."""
        return await self._forecasts.levels(host, ask.client, person, server, ip or "")

    async def release(self, host: Host, ask_id: str, *, browser: str, subject: SubjectId) -> None:
        """Give an ask back before signing out, so that another person can answer it."""
        async with self._database.write() as tx:
            await asks.release(tx, host.key, ask_id, browser=digest(browser), subject=subject)

    async def approve(
        self,
        host: Host,
        ask: Ask,
        *,
        person: Person,
        browser: str,
        server: ServerKey,
        level: Level,
        expires_at: datetime | None,
        ip: str | None,
        user_agent: str | None,
    ) -> str:
        """Grant what the person chose and return where to send the browser.

        Raises:
            Refused: FORBIDDEN above the ceiling and where the host's rules would let the agent
                have no token, INVALID_PARAMS for a duration or a server that cannot be chosen,
                CONFLICT when the ask cannot be answered any more.
        """
        self._check_expiry(host, expires_at)
        await self._check_level(host, ask, person, server, level)
        if refused := await self._refusal(host, ask, person, server, level, ip):
            raise Refused(Code.FORBIDDEN, refused)
        await self._check_client(host, ask)
        now = self._clock.now()
        consent = Consent(
            host=host.key,
            subject=person.id,
            client=ask.client.id,
            server=server,
            id=ConsentId(new_id("consent")),
            level=level,
            granted_at=now,
            expires_at=expires_at,
            redirect_uri=ask.redirect_uri,
            client_digest=ask.client.digest,
        )
        session = _session(host, consent, now)
        event = _event("consent.granted", ask, person, ip, user_agent)
        async with self._database.write() as tx:
            await self._answer(tx, host, ask, browser, person)
            await consents.grant(tx, consent)
            location = await self._open(tx, host, ask, session)
            self._trail.append(_about(event, consent, session))
            self._trail.append(_opened(event, consent, session))
        return location

    async def resume(
        self,
        host: Host,
        ask: Ask,
        *,
        person: Person,
        browser: str,
        ip: str | None,
        user_agent: str | None,
    ) -> str | None:
        """Answer with the consent the person already gave, where `reusable` says so.

        Returns:
            Where to send the browser, or None when the person has to be asked.
        """
        consent = await self.reusable(host, ask, person)
        if consent is None:
            return None
        if await self._refusal(host, ask, person, consent.server, consent.level, ip):
            return None  # the page says why, instead of a session that could have no token
        await self._check_client(host, ask)
        session = _session(host, consent, self._clock.now())
        event = _event("session.opened", ask, person, ip, user_agent)
        async with self._database.write() as tx:
            await self._answer(tx, host, ask, browser, person)
            location = await self._open(tx, host, ask, session)
            self._trail.append(_opened(event, consent, session))
        return location

    async def deny(
        self,
        host: Host,
        ask: Ask,
        *,
        person: Person,
        browser: str,
        ip: str | None,
        user_agent: str | None,
    ) -> str:
        """Use the ask up and return where to send the browser. Nothing is remembered."""
        async with self._database.write() as tx:
            await self._answer(tx, host, ask, browser, person)
            self._trail.append(_event("consent.denied", ask, person, ip, user_agent))
        said = {"error": "access_denied", "error_description": "the person did not allow it"}
        return answered(host, ask.redirect_uri, ask.request.state, said)

    async def reusable(self, host: Host, ask: Ask, person: Person) -> Consent | None:
        """Return the consent that already answers this ask, or None.

        Only towards an https address: what is sent to this machine or to a private scheme
        may reach any program, so there a person looks every time (RFC 8252 section 8.6).
        """
        server = ask.server or ask.suggested
        if server is None or ask.request.prompt:
            return None
        if redirects.kind_of(ask.redirect_uri) is not Kind.HTTPS:
            return None
        consent = await self._consents.get(host.key, person.id, ask.client.id, server)
        if consent is None or not consent.live_at(self._clock.seconds()):
            return None
        same = (consent.redirect_uri, consent.client_digest) == (
            ask.redirect_uri,
            ask.client.digest,
        )
        if not same or ask.level > consent.level:
            return None
        if await self._ceiling(host, person, server) is None:
            return None
        return consent if await self._has_live_session(host.key, consent) else None

    async def _refusal(
        self,
        host: Host,
        ask: Ask,
        person: Person,
        server: ServerKey,
        level: Level,
        ip: str | None,
    ) -> str:
        """Say why the rules would refuse what is about to be granted, or ""."""
        found = await self._catalogue.get(host.key, server)
        if found is None:
            return "This server is not here any more."
        return await self._forecasts.refusal(host, ask.client, person, found, level, ip or "")

    async def _has_live_session(self, host: HostId, consent: Consent) -> bool:
        async with self._database.read() as tx:
            found = await sessions.live(
                tx,
                host,
                at=self._clock.now(),
                subject=consent.subject,
                client=consent.client,
                server=consent.server,
            )
        return bool(found)

    async def _ceiling(self, host: Host, person: Person, server: ServerKey) -> Level | None:
        if not person.active or await self._catalogue.get(host.key, server) is None:
            return None
        return await self._ceilings.on(host.key, person.id, person.groups, server)

    async def _check_level(
        self, host: Host, ask: Ask, person: Person, server: ServerKey, level: Level
    ) -> None:
        if ask.server is not None and ask.server != server:
            raise Refused(Code.INVALID_PARAMS, "The program asked for another server.")
        ceiling = await self._ceiling(host, person, server)
        if ceiling is None:
            raise Refused(Code.FORBIDDEN, "You have no access to this server.")
        if level > ceiling:
            raise Refused(
                Code.FORBIDDEN,
                f"You chose {level.word}, but the most you may allow here is {ceiling.word}.",
            )

    def _check_expiry(self, host: Host, expires_at: datetime | None) -> None:
        policy = host.policies.consent
        if expires_at is None:
            if not policy.until_revoked:
                raise Refused(Code.INVALID_PARAMS, "This host wants an end for every permission.")
            return
        now = self._clock.now()
        if expires_at <= now:
            raise Refused(Code.INVALID_PARAMS, "The chosen end is in the past.")
        if expires_at > now + timedelta(days=policy.longest_days):
            raise Refused(
                Code.INVALID_PARAMS, f"The longest duration here is {policy.longest_days} days."
            )

    async def _check_client(self, host: Host, ask: Ask) -> None:
        """Refuse a client that has changed between the page and the answer."""
        known = await self._clients.known(host, ask.client.id)
        unchanged = (
            known is not None
            and not known.client.blocked
            and known.client.digest == ask.client.digest
            and redirects.matches(ask.redirect_uri, known.client.redirect_uris)
        )
        if not unchanged:
            raise Refused(Code.CONFLICT, _CHANGED)

    async def _answer(self, tx: Write, host: Host, ask: Ask, browser: str, person: Person) -> None:
        answered_now = await asks.answer(
            tx,
            host.key,
            ask.id,
            browser=digest(browser),
            subject=person.id,
            at=self._clock.now(),
        )
        if not answered_now:
            raise Refused(Code.CONFLICT, _TAKEN)

    async def _open(self, tx: Write, host: Host, ask: Ask, session: Session) -> str:
        """Open the session, make its code, and return the address that carries it."""
        code = mint(store.CODE)
        await sessions.open_session(tx, session)
        await store.add_code(
            tx,
            host.key,
            store.AuthorizationCode(
                digest=store.handle_of(code),
                session=session.id,
                client=ask.client.id,
                redirect_uri=ask.redirect_uri,
                redirect_sent=ask.request.redirect_sent,
                challenge=ask.request.challenge,
                resource=ask.resource,
                level=ask.level,
                expires_at=session.opened_at + CODE_LIVES,
            ),
        )
        await registry.note_use(tx, host.key, ask.client.id, at=session.opened_at)
        return answered(host, ask.redirect_uri, ask.request.state, {"code": code.reveal()})


def _session(host: Host, consent: Consent, now: datetime) -> Session:
    """Describe a session under a consent; it outlives neither that nor the host's limits."""
    limits = host.policies.sessions
    ends_at = now + timedelta(days=limits.absolute_days)
    if consent.expires_at is not None:
        ends_at = min(ends_at, consent.expires_at)
    return Session(
        host=host.key,
        id=SessionId(new_id("session")),
        subject=consent.subject,
        client=consent.client,
        server=consent.server,
        opened_at=now,
        used_at=now,
        ends_at=ends_at,
        idle_seconds=limits.idle_days * 86_400,
    )


def _event(kind: str, ask: Ask, person: Person, ip: str | None, user_agent: str | None) -> Event:
    return Event(
        kind=kind,
        host=ask.host,
        subject=person.id,
        subject_email=person.email,
        client=ask.client.id,
        client_name=ask.client.name,
        server=ask.server,
        ip=ip,
        user_agent=user_agent[:_AGENT_LONGEST] if user_agent else None,
        detail={"redirect": redirects.host_of(ask.redirect_uri)},
    )


def _about(event: Event, consent: Consent, session: Session) -> Event:
    until = consent.expires_at.isoformat() if consent.expires_at else "revoked"
    return msgspec.structs.replace(
        event,
        consent=consent.id,
        session=session.id,
        server=consent.server,
        granted_level=consent.level.word,
        detail={**(event.detail or {}), "until": until},
    )


def _opened(event: Event, consent: Consent, session: Session) -> Event:
    return msgspec.structs.replace(_about(event, consent, session), kind="session.opened")
