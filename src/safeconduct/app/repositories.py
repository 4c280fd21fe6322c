"""Keeps hosts at what their policy repositories say: looks, judges, tries, and only then activates.

Whatever goes wrong leaves the last good bundle in force, is said once for each commit, and shows
in `safeconduct policy status` and in the metrics. One of all workers and nodes looks at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from safeconduct import hosts, policy
from safeconduct.app.activations import Activations
from safeconduct.app.building import Installation
from safeconduct.app.rules import Offer, but_for, judged
from safeconduct.audit import Event
from safeconduct.core.canonical import fingerprint
from safeconduct.core.errors import GatewayError
from safeconduct.core.model import HostId
from safeconduct.core.secrets import Secret, digest
from safeconduct.egress import GitBranch, GitCommit, GitFailed, GitLimits
from safeconduct.policy import Bundle, BundleError, Standing, State
from safeconduct.settings import GitSettings, PolicySettings
from safeconduct.storage import StorageError
from safeconduct.telemetry import PolicyAge

_LEAST_SECONDS = 1.0  # between two looks that somebody asked for
_SCRATCH = "policy"
_SHORT = 12
_log = logging.getLogger(__name__)


class Repositories:
    """The repositories of all hosts that have one."""

    def __init__(self, parts: Installation, *, limits: GitLimits | None = None) -> None:
        self._parts = parts
        self._activations = Activations(
            trail=parts.trail, clock=parts.clock, signer=parts.shelf.signer
        )
        self._shipped = Bundle.shipped().digest
        self._sources = {
            HostId(said.key): _Source(parts, said.policy, said.policy.git, limits)
            for said in parts.settings.hosts
            if said.policy is not None and said.policy.git is not None
        }
        self._standings: dict[HostId, Standing] = {}
        self._soon: dict[HostId, asyncio.Task[None]] = {}
        self._again: set[HostId] = set()

    @property
    def hosts(self) -> tuple[HostId, ...]:
        """The hosts that have one."""
        return tuple(self._sources)

    @property
    def secrets(self) -> dict[HostId, Secret]:
        """Secrets of webhooks, for the hosts that have one."""
        return {
            host: source.git.webhook_secret
            for host, source in self._sources.items()
            if source.git.webhook_secret is not None
        }

    def soon(self, host: HostId) -> None:
        """Look at a host's repository; whoever asks meanwhile is answered by one more look."""
        if host in self._soon:
            self._again.add(host)
        elif host in self._sources:
            self._start(host, self._once(host))

    def _start(self, host: HostId, work: Coroutine[Any, Any, None]) -> None:
        task = self._soon[host] = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(lambda done: self._ended(host, done))

    def _ended(self, host: HostId, done: asyncio.Task[None]) -> None:
        self._soon.pop(host, None)
        if host in self._again and not done.cancelled():
            self._again.discard(host)
            self.soon(host)

    async def _once(self, host: HostId) -> None:
        await self._quietly(host)
        await asyncio.sleep(_LEAST_SECONDS)

    async def close(self) -> None:
        """Stop what is under way."""
        tasks = list(self._soon.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def look_around(self) -> None:
        """Begin to look at those whose turn it is; one that hangs holds nobody else up."""
        for host, source in self._sources.items():
            if host not in self._soon:
                self._start(host, self._turn(host, source))

    async def _turn(self, host: HostId, source: _Source) -> None:
        """Look if nobody else has or does, and learn what others found."""
        now = self._parts.clock.now()
        before = now - timedelta(seconds=source.git.poll_seconds)
        try:
            async with self._parts.database.read() as tx:
                found = self._standings[host] = await policy.standing_of(tx, host)
            if found.tried_at is not None and found.tried_at > before:
                return
            async with self._parts.database.write() as tx:
                if not await policy.claim(tx, host, at=now, before=before):
                    return
        except (OSError, StorageError):
            _log.exception("whose turn it is to look at a policy repository is not known")
            return
        await self._quietly(host)

    def ages(self) -> Iterator[PolicyAge]:
        """Yield what metrics show, as far as this process knows."""
        now = self._parts.clock.now()
        for host, found in self._standings.items():
            since = None if found.current_at is None else (now - found.current_at).total_seconds()
            yield PolicyAge(host=host, seconds=since, current=found.state == "current")

    async def _quietly(self, host: HostId) -> None:
        try:
            await self.look(host)
        except (GatewayError, OSError, StorageError):
            _log.exception("the policy repository of host %s will be looked at again", host)

    async def look(self, host: HostId) -> Standing:
        """Look at one repository now, and activate what is new and good there.

        Raises:
            GatewayError: If what was found cannot be written down.
        """
        source = self._sources[host]
        async with source.turn:
            async with self._parts.database.read() as tx:
                before = await policy.standing_of(tx, host)
            found = await self._found(host, source, before)
            if found.state == "current":
                found = replace(found, current_at=self._parts.clock.now())
            async with self._parts.database.write() as tx:
                await policy.settle(tx, host, found)
            self._standings[host] = found
            _say(host, before, found)
            return found

    async def _found(self, host: HostId, source: _Source, before: Standing) -> Standing:
        looked = replace(before, tried_at=self._parts.clock.now(), problem="")
        try:
            head = await source.branch.head()
            if before.judged == source.question(head, self._shipped):
                state = await self._state_of(host, before)
                if state is not None:
                    return replace(before, tried_at=looked.tried_at, state=state)
            commit = await source.read()
        except GitFailed as error:
            return replace(looked, state="unreachable", problem=error.public)
        question = source.question(commit.id, self._shipped)
        judged_now = replace(looked, commit=commit.id, judged=question, offered="")
        try:
            offer = await source.offered(commit)
            state = await self._take(host, offer)
        except BundleError as error:
            if before.judged != question:
                self._reject(host, source, commit, error)
            return replace(judged_now, state="rejected", problem=error.public)
        return replace(judged_now, state=state, offered=offer.rules.digest)

    async def _state_of(self, host: HostId, before: Standing) -> State | None:
        """Return how things stand with a commit that was judged; None to judge it again."""
        if before.state not in {"current", "held", "rejected"}:
            return None
        async with self._parts.database.read() as tx:
            present = await hosts.find(tx, host)
            if present is None:
                return None
            now = present.policies.policy_bundle
            if await self._activations.stored(tx, host, now) is None:
                return None  # it was altered, and this may mend it
            if before.state == "rejected":
                return "rejected"
            if now == before.offered:
                return "current"
            return "held" if await self._activations.held(tx, host, now, before.offered) else None

    async def _take(self, host: HostId, offer: Offer) -> State:
        """Activate what is offered, unless it decides already or an operator went back from it.

        Raises:
            BundleError: If it was signed before something the host has had.
        """
        async with self._parts.database.write() as tx:
            present = await hosts.find(tx, host)
            if present is None or present.policies.policy_by == "api":
                return "waiting"  # for the configuration to be applied, or read again
            taken = await self._activations.take(
                tx, present, offer, kind="fetched", by="repository"
            )
        return "held" if taken == "held" else "current"

    def _reject(self, host: HostId, source: _Source, commit: GitCommit, error: BundleError) -> None:
        self._parts.trail.append(
            Event(
                kind="policy.rejected",
                host=host,
                reason=error.public[:2000],
                detail={"source": source.name(commit.id), "author": commit.author},
            )
        )


class _Source:
    """One host's repository."""

    def __init__(
        self,
        parts: Installation,
        said: PolicySettings,
        git: GitSettings,
        limits: GitLimits | None,
    ) -> None:
        server = parts.settings.server
        self.git = git
        self.turn = asyncio.Lock()
        self.branch = GitBranch(
            git.url,
            git.branch,
            directory=git.directory,
            token=git.token,
            loopback=server.allow_loopback_upstreams,
            limits=limits,
            way=parts.outside.git,
        )
        self._trusted = said.trusted_keys
        self._for_opa = said.engine == "opa"
        self._off = said.off
        self._scratch = server.data_dir / _SCRATCH

    async def read(self) -> GitCommit:
        self._scratch.mkdir(mode=0o700, exist_ok=True)
        wanted = policy.belongs if self._trusted else policy.counts
        return await self.branch.read(self._scratch, wanted=wanted)

    async def offered(self, commit: GitCommit) -> Offer:
        """Judge and try a commit.

        Raises:
            BundleError: If it cannot be used.
        """
        rules, version = await asyncio.to_thread(
            judged, commit.files, self._trusted, for_opa=self._for_opa, off=self._off
        )
        return Offer(
            rules=rules,
            source=self.name(commit.id),
            version=version,
            because=f"commit {commit.id[:_SHORT]} on {self.git.branch} by {commit.author}"
            + but_for(self._off),
        )

    def name(self, commit: str) -> str:
        """Name a commit as it is written down; the URL holds no credentials."""
        return f"{self.git.url}@{commit}"

    def question(self, commit: str, shipped: str) -> str:
        """Name everything that a judgement depends on."""
        keys = sorted(digest(each.reveal()) for each in self._trusted)
        git = self.git
        said = [git.url, git.branch, git.directory, keys, sorted(self._off)]
        return fingerprint([*said, shipped, commit])


def _say(host: HostId, before: Standing, found: Standing) -> None:
    """Log what is new about a repository, and nothing twice."""
    if (found.state, found.judged, found.problem) == (before.state, before.judged, before.problem):
        return
    commit = found.commit[:_SHORT]
    match found.state:
        case "unreachable":
            _log.warning(
                "The policy repository of host %s cannot be had: %s. The last good rules stay.",
                host,
                found.problem,
            )
        case "rejected":
            _log.error(
                "Commit %s is refused as policy of host %s: %s. The last good rules stay.",
                commit,
                host,
                found.problem,
            )
        case "held":
            _log.warning(
                "Commit %s still holds rules of host %s that were rolled back, so it has to wait "
                "for a newer one, or for: safeconduct policy rollback",
                commit,
                host,
            )
        case "current":
            _log.info("Host %s decides by commit %s of its policy repository.", host, commit)
        case "waiting":
            pass
