"""Rules that programs put: judged and tried as those of a directory are, and activated as they are.

Judging takes a second or more, so it is done before the transaction, a few at a time; whatever
was changed meanwhile is noticed inside it, and then nothing is.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from safeconduct import hosts, policy
from safeconduct.api import Outcome, Wish
from safeconduct.app.activations import Activations
from safeconduct.app.building import Installation
from safeconduct.app.rule_notes import unheard
from safeconduct.app.rules import Offer, judged
from safeconduct.core.canonical import canonical_bytes
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import HostId
from safeconduct.core.secrets import Secret
from safeconduct.hosts import Host
from safeconduct.policy import PENDING, Bundle, Files
from safeconduct.settings import HostSettings
from safeconduct.storage import Read

_AT_ONCE = 2
_MOST_WAITING = 8  # of one host, with the one whose turn it is
_SHORT = 12


class PutRules:
    """Lets rules decide that came by request."""

    def __init__(self, parts: Installation) -> None:
        self._database = parts.database
        self._signer = parts.shelf.signer
        self._said: Mapping[HostId, HostSettings] = {
            HostId(each.key): each for each in parts.settings.hosts
        }
        self._activations = Activations(
            trail=parts.trail, clock=parts.clock, signer=parts.shelf.signer
        )
        self._judging = asyncio.Semaphore(_AT_ONCE)
        self._turns: dict[HostId, asyncio.Lock] = {}
        self._waiting: Counter[HostId] = Counter()

    async def put(self, host: HostId, files: Files, wish: Wish) -> Outcome:
        """Judge and try files, and let them decide.

        Raises:
            BundleError: If they cannot be used or their tests fail.
            Overtaken: If something else decides than the sender believes.
            Refused: If rules do not come by request here, or were gone back from.
        """
        async with self._turn(host):
            async with self._database.read() as tx:
                before = await self._open(tx, host, wish)
            return await self._offered(before, files, wish, because="put by API")

    async def replace(self, host: HostId, member: str, value: Any, wish: Wish) -> Outcome:
        """Do the same with what decides, and one member of its data replaced.

        Raises:
            BundleError, Overtaken, Refused: As above, and if only signed rules are taken.
        """
        async with self._turn(host):
            async with self._database.read() as tx:
                before = await self._open(tx, host, wish)
                files = await self._with(tx, before, member, value)
            why = f"{member} of the data replaced"
            return await self._offered(before, files, wish, because=why, upon=True)

    async def roll_back(self, host: HostId, bundle: str, wish: Wish) -> Outcome:
        """Let a bundle decide that the host has had, wherever its rules come from.

        Raises:
            Overtaken: If something else decides than the sender believes.
            Refused: If there is no such bundle, or it decides already.
        """
        async with self._database.write() as tx:
            now = await _found(tx, host)
            before = now.policies.policy_bundle
            wish.refuse_others(before)
            if all(each.digest != bundle for each in await policy.history(tx, host)):
                raise Refused(Code.CONFLICT, f"Bundle {bundle[:_SHORT]} never decided here.")
            why = wish.because or f"went back from {before[:_SHORT] or 'the built-in rules alone'}"
            await self._activations.roll_back(tx, now, bundle, by=wish.by, because=why)
        return Outcome(bundle=bundle, before=before, changed=True)

    async def _offered(
        self, host: Host, files: Files, wish: Wish, *, because: str, upon: bool = False
    ) -> Outcome:
        """Judge, and activate what is good.

        Args:
            host: As it was when this began.
            files: All there are to be.
            wish: Whose they are.
            because: Why, if that was not said.
            upon: They were made from what decided then, so that must not have changed.
        """
        keys = [Secret(each) for each in host.policies.policy_keys]
        for_opa = host.policies.policy_engine == "opa"
        rules, version = await asyncio.to_thread(judged, files, keys, for_opa=for_opa)
        notes = await asyncio.to_thread(unheard, rules.upon(Bundle.shipped()))
        offer = Offer(rules=rules, source=wish.by, version=version, because=wish.because or because)
        if wish.check:
            async with self._database.read() as tx:
                await self._activations.check_version(tx, host.key, offer)
            before = host.policies.policy_bundle
            return Outcome(bundle=rules.digest, before=before, changed=False, notes=notes)
        async with self._database.write() as tx:
            now = await self._open(tx, host.key, wish)
            before = now.policies.policy_bundle
            if _terms(now) != _terms(host) or (upon and before != host.policies.policy_bundle):
                raise Refused(
                    Code.CONFLICT,
                    f"The rules of host {now.key} were changed meanwhile, so nothing was. "
                    "Try again.",
                )
            taken = await self._activations.take(tx, now, offer, kind="put", by=wish.by)
        if taken == "held":
            raise _rolled_back(rules.digest, before)
        changed = taken == "activated"
        return Outcome(bundle=rules.digest, before=before, changed=changed, notes=notes)

    async def _open(self, tx: Read, key: HostId, wish: Wish) -> Host:
        """Return a host whose rules may be put now."""
        host = await _found(tx, key)
        if host.policies.policy_by != "api":
            raise Refused(
                Code.CONFLICT,
                f"The rules of host {key} come from {self._elsewhere(key)} and change there. To "
                "put them, say so in the configuration: policy: {by: api}.",
            )
        wish.refuse_others(host.policies.policy_bundle)
        return host

    def _elsewhere(self, key: HostId) -> str:
        said = self._said[key].policy if key in self._said else None
        if said is not None and said.directory is not None:
            return f"the directory {said.directory.name}"
        if said is not None and said.git is not None:
            return f"branch {said.git.branch} of {said.git.url}"
        return "the configuration file"

    async def _with(self, tx: Read, host: Host, member: str, value: Any) -> Files:
        if host.policies.policy_keys:
            raise Refused(
                Code.CONFLICT,
                "Only signed rules are taken on this host, so its data cannot be replaced alone. "
                "Put all files, with their signatures.",
            )
        now = host.policies.policy_bundle
        rules = None if now == PENDING else await self._activations.stored(tx, host.key, now)
        if rules is None:
            raise Refused(
                Code.CONFLICT,
                "There are no rules whose data could be replaced: none came yet, or they were "
                "altered. Put all files.",
            )
        data = canonical_bytes(rules.data | {member: value})
        return rules.as_files() | {"data.json": data}

    @asynccontextmanager
    async def _turn(self, host: HostId) -> AsyncIterator[None]:
        """Wait for the host's turn, and then for one of those there are for all hosts."""
        if self._waiting[host] >= _MOST_WAITING:
            raise Refused(
                Code.THROTTLED, "Too many rules of this host are being judged. Try again later."
            )
        self._waiting[host] += 1
        try:
            async with self._turns.setdefault(host, asyncio.Lock()), self._judging:
                yield
        finally:
            self._waiting[host] -= 1


async def _found(tx: Read, key: HostId) -> Host:
    host = await hosts.find(tx, key)
    if host is None:
        raise Refused(Code.UNKNOWN_HOST, f"There is no host {key} any more.")
    return host


def _terms(host: Host) -> tuple[object, ...]:
    """Return what rules were judged for."""
    return host.policies.policy_keys, host.policies.policy_engine


def _rolled_back(offered: str, now: str) -> Refused:
    return Refused(
        Code.CONFLICT,
        f"These rules were rolled back (bundle {offered}), so they stay out until something else "
        f"was put, and {f'bundle {now}' if now else 'the built-in rules alone'} decides. To use "
        "them all the same, roll back to them.",
    )
