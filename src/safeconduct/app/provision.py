"""Brings an installation to what its configuration file says, or says what that would change.

Each host is one transaction: compared again inside it, written down, changed, and whatever
access nothing carries any more ended with it. Applying the same file twice changes nothing
the second time. Servers are read afterwards; one that does not answer is a warning.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from safeconduct import consent as consents
from safeconduct import hosts
from safeconduct.app.activations import Activations
from safeconduct.app.adopting import adopting, by_api, switched_off
from safeconduct.app.comparing import (
    compare_clients,
    compare_host,
    compare_operators,
    compare_people,
)
from safeconduct.app.comparing_servers import compare_servers
from safeconduct.app.declaring import declared
from safeconduct.app.edges import compare_edges
from safeconduct.app.endings import (
    HOST_REMOVED,
    WORDS,
    Ending,
    all_endings,
    endings,
    future_of,
)
from safeconduct.app.importing import Importer
from safeconduct.app.memberships import store_memberships
from safeconduct.app.moves import Doing, Move, Mover
from safeconduct.app.naming import unknown_as_read
from safeconduct.app.plan import Imported, Plan, Step, portions
from safeconduct.app.present import Present, read_present
from safeconduct.app.references import check_references
from safeconduct.app.rules import Offer, offered
from safeconduct.app.targets import Target, target_of
from safeconduct.audit import Event, Trail
from safeconduct.core.clock import Clock
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import ClientId, HostId, ServerKey
from safeconduct.hosts import Host
from safeconduct.oauth import Clients, end_family
from safeconduct.policy import Signer
from safeconduct.sessions import Session
from safeconduct.settings import Settings
from safeconduct.signin import Passwords
from safeconduct.storage import Database, Read, Write
from safeconduct.upstreams import Catalogue, Crawler, Credentials

if TYPE_CHECKING:
    from safeconduct.app.building import Installation

_AT_ONCE = 4

Told = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What one host needs."""

    moves: tuple[Move, ...]
    ends: tuple[Ending, ...]
    present: Present
    target: Target | None = None
    offer: Offer | None = None
    fresh: tuple[ServerKey, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        return (*(move.step for move in self.moves), *map(self._ending, self.ends))

    def _ending(self, ending: Ending) -> Step:
        what = ending.what
        emails = {each.id: each.email for each in self.present.people.values()}
        who = emails.get(what.subject, what.subject)
        return Step(
            host=what.host,
            noun="session" if isinstance(what, Session) else "consent",
            key=what.id,
            action="remove",
            what=(f"of {who} on {what.server} ends: {WORDS[ending.because]}",),
        )


class Provisioner:
    """Plans and applies configurations."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        trail: Trail,
        passwords: Passwords,
        crawler: Crawler,
        catalogue: Catalogue,
        clients: Clients,
        signer: Signer,
        credentials: Credentials,
    ) -> None:
        self._database = database
        self._clock = clock
        self._trail = trail
        self._passwords = passwords
        self._catalogue = catalogue
        self._clients = clients
        self._credentials = credentials
        self._activations = Activations(trail=trail, clock=clock, signer=signer)
        self._importer = Importer(
            database, clock=clock, trail=trail, crawler=crawler, catalogue=catalogue
        )

    @classmethod
    def of(cls, parts: Installation) -> Provisioner:
        """Take the collaborators from an open installation."""
        return cls(
            parts.database,
            clock=parts.clock,
            trail=parts.trail,
            passwords=parts.passwords,
            crawler=parts.crawler,
            catalogue=parts.catalogue,
            clients=parts.clients,
            signer=parts.shelf.signer,
            credentials=parts.credentials,
        )

    async def plan(self, settings: Settings, *, prune: bool = False) -> Plan:
        """Say what applying would change; nothing is written.

        Raises:
            Refused, BundleError: If it could not be applied.
        """
        targets = await _targets(settings)
        await self._database.catch_up()
        async with self._database.read() as tx:
            stored = await _checked(tx, targets)
            drafts = [await self._drafted(tx, target) for target in targets]
            if prune:
                drafts += [await self._farewell(tx, host) for host in _beyond(stored, targets)]
        unknown = [each for target in targets async for each in self._unknown(target)]
        return _plan(drafts, (*(() if prune else _left_alone(stored, targets)), *unknown))

    async def _unknown(self, target: Target) -> AsyncIterator[str]:
        """Say which names for tools their servers had not when they were last read."""
        for key, said in target.servers.items():
            server = await self._catalogue.get(target.host.key, key)
            for each in unknown_as_read(said, server):
                yield f"{target.host.key}: server {key}: {each}"

    async def apply(
        self,
        settings: Settings,
        *,
        crawl: bool = True,
        prune: bool = False,
        by: str = "configuration",
        told: Told | None = None,
    ) -> Plan:
        """Make the installation what the file says; returns what was done.

        Args:
            settings: The configuration.
            crawl: Read servers that are new, changed, or were never read.
            prune: Remove hosts that the file does not name; without it they stay.
            by: Who wants it, as the record shall name them.
            told: Told in a word what takes long, as it begins.

        Raises:
            Refused, BundleError: If it cannot be applied; what was done for the hosts before
                the one at fault stays done.
        """
        targets = await _targets(settings)
        await self._database.catch_up()
        async with self._database.read() as tx:
            stored = await _checked(tx, targets)
            foreseen = [await self._drafted(tx, target) for target in targets]
        hashes = await self._hashes(foreseen, told)
        drafts = [await self._settled(target, hashes, by=by) for target in targets]
        if prune:
            drafts += [await self._removed(host, by=by) for host in _beyond(stored, targets)]
        imported = await self._read(targets, drafts, told) if crawl else ()
        done = _plan(drafts, () if prune else _left_alone(stored, targets))
        unread = tuple(str(each) for each in imported if each.problem or each.left_out)
        return msgspec.structs.replace(done, imported=imported, warnings=(*done.warnings, *unread))

    async def _drafted(self, tx: Read, target: Target) -> Draft:
        """Compare one host with its target, as the transaction sees it."""
        host = target.host
        present = await read_present(tx, host.key, at=self._clock.now(), target=target)
        mover = Mover(host=host.key)
        rules = await adopting(tx, present, target, self._activations)
        missing = check_references(present, target, rules)
        compare_host(mover, present, rules)
        fresh = compare_servers(mover, present, target, self._credentials)
        warnings = compare_people(mover, present, target)
        compare_operators(mover, present, target)
        compare_clients(mover, present, target, await self._digests(host, target))
        edges = compare_edges(mover, present, target)
        ends = endings(present, future_of(present, target, edges))
        return Draft(
            moves=tuple(mover.made),
            ends=tuple(ends),
            present=present,
            target=rules.target,
            offer=rules.offer,
            fresh=tuple(fresh),
            warnings=tuple(
                f"{host.key}: {each}"
                for each in (
                    *target.left_out,
                    *(f"rules: {each}" for each in (target.offer.notes if target.offer else ())),
                    *warnings,
                    *missing,
                    rules.warning,
                    switched_off(target),
                    by_api(rules.target),
                )
                if each
            ),
        )

    async def _digests(self, host: Host, target: Target) -> dict[ClientId, str | None]:
        found = {}
        for key in target.clients:
            entry = await self._clients.known(host, key)
            found[key] = None if entry is None else entry.secret_digest
        return found

    async def _hashes(self, drafts: list[Draft], told: Told | None) -> dict[str, str]:
        """Hash the passwords that will be set, before any transaction: each takes a while."""
        needed = {
            f"{move.step.host}/{move.hashed}": move.secret
            for draft in drafts
            for move in draft.moves
            if move.secret is not None
        }
        hashes = {}
        for count, (name, secret) in enumerate(needed.items(), 1):
            if told is not None:
                told(f"password {count} of {len(needed)}")
            hashes[name] = await self._passwords.hash(secret.reveal())
        return hashes

    async def _settled(self, target: Target, hashes: dict[str, str], *, by: str) -> Draft:
        """Bring one host to its target, in one transaction."""
        key = target.host.key
        async with self._database.write() as tx:
            draft = await self._drafted(tx, target)
            own = {
                name.removeprefix(f"{key}/"): each
                for name, each in hashes.items()
                if name.startswith(f"{key}/")
            }
            if any(move.secret and move.hashed not in own for move in draft.moves):
                raise Refused(
                    Code.CONFLICT, f"Host {key} was changed meanwhile, so nothing was. Try again."
                )
            self._record(key, draft, by=by)
            doing = Doing(
                tx=tx,
                host=key,
                at=self._clock.now(),
                clients=self._clients,
                hashes=own,
                ids=draft.present.ids,
            )
            for move in draft.moves:
                await move.act(doing)
            await store_memberships(tx, key, at=doing.at)
            await self._activate(tx, draft, by=by)
            await self._end(tx, draft.ends)
        return draft

    async def _activate(self, tx: Write, draft: Draft, *, by: str) -> None:
        """Let the offered rules decide, with the host as it has become."""
        if draft.offer is None or draft.target is None:
            return
        host, before = draft.target.host, draft.present.host
        now = "" if before is None else before.policies.policy_bundle
        as_before = replace(host, policies=replace(host.policies, policy_bundle=now))
        await self._activations.activate(tx, as_before, draft.offer, kind="applied", by=by)

    async def _farewell(self, tx: Read, host: HostId) -> Draft:
        present = await read_present(tx, host, at=self._clock.now(), target=None)
        mover = Mover(host=host)

        async def act(doing: Doing) -> None:
            await hosts.remove(doing.tx, host)

        mover.add("host", host, "remove", ("is taken out of service",), act)
        return Draft(
            moves=tuple(mover.made),
            ends=tuple(all_endings(present, because=HOST_REMOVED)),
            present=present,
        )

    async def _removed(self, host: HostId, *, by: str) -> Draft:
        async with self._database.write() as tx:
            draft = await self._farewell(tx, host)
            self._record(host, draft, by=by)
            await self._end(tx, draft.ends)
            if draft.present.host is not None:
                await self._activations.end(tx, draft.present.host, by=by)
            await hosts.remove(tx, host)
        return draft

    def _record(self, host: HostId, draft: Draft, *, by: str) -> None:
        """Write down what is about to happen, in records that are not too large."""
        for steps in portions(map(str, draft.steps)):
            self._trail.append(
                Event(kind="configuration.applied", host=host, detail={"by": by, "steps": steps})
            )
        for ending in draft.ends:
            what = ending.what
            session = isinstance(what, Session)
            self._trail.append(
                Event(
                    kind="session.ended" if session else "consent.ended",
                    host=what.host,
                    subject=what.subject,
                    client=what.client,
                    server=what.server,
                    session=what.id if isinstance(what, Session) else None,
                    consent=None if isinstance(what, Session) else what.id,
                    reason=ending.because,
                    detail={"by": by},
                )
            )

    async def _end(self, tx: Write, ends: Iterable[Ending]) -> None:
        for ending in ends:
            what, because = ending.what, ending.because
            if isinstance(what, Session):
                await end_family(tx, what.host, what.id, clock=self._clock, because=because)
            else:
                await consents.end(tx, what, at=self._clock.now(), because=because)

    async def _read(
        self, targets: list[Target], drafts: list[Draft], told: Told | None
    ) -> tuple[Imported, ...]:
        """Read the servers that need it, a few at a time."""
        chosen: dict[tuple[HostId, ServerKey], None] = {}
        for target, draft in zip(targets, drafts, strict=False):
            fresh = set(draft.fresh)
            for server in await self._catalogue.every(target.host.key):
                if server.key in fresh or not server.eras or server.problem is not None:
                    chosen[target.host.key, server.key] = None
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(host: HostId, server: ServerKey) -> Imported | None:
            async with turns:
                if told is not None:
                    told(f"tools of {server}")
                return await self._importer.read(host, server)

        found = await asyncio.gather(*(one(host, server) for host, server in chosen))
        return tuple(each for each in found if each is not None)


async def _targets(settings: Settings) -> list[Target]:
    return [target_of(said, await offered(said), await declared(said)) for said in settings.hosts]


async def _checked(tx: Read, targets: list[Target]) -> list[Host]:
    """Read the hosts there are, and refuse an origin that another of them still has."""
    stored = await hosts.every(tx)
    for target in targets:
        for other in stored:
            if other.origin == target.host.origin and other.key != target.host.key:
                raise Refused(
                    Code.CONFLICT,
                    f"Host {other.key} has the origin {other.origin} already. Give that host "
                    f"another one first, or use its key instead of {target.host.key}.",
                )
    return stored


def _beyond(stored: list[Host], targets: list[Target]) -> list[HostId]:
    named = {target.host.key for target in targets}
    return [host.key for host in stored if host.key not in named]


def _left_alone(stored: list[Host], targets: list[Target]) -> tuple[str, ...]:
    return tuple(
        f"{key}: the host is not in the file and stays in service; --prune would remove it"
        for key in _beyond(stored, targets)
    )


def _plan(drafts: list[Draft], warnings: tuple[str, ...]) -> Plan:
    return Plan(
        steps=tuple(step for draft in drafts for step in draft.steps),
        warnings=(*warnings, *(each for draft in drafts for each in draft.warnings)),
    )
