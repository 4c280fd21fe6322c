"""What decides for a host changes here and nowhere else: recorded first, then in one transaction.

One row of `hosts` changes and one is appended to the log, so every worker and node decides by
the new bundle on its next call, or none of it happened.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec.structs import replace

from safeconduct import hosts, policy
from safeconduct.app.rules import Offer
from safeconduct.audit import Event, Trail
from safeconduct.core.clock import Clock
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import HostId
from safeconduct.hosts import Host
from safeconduct.policy import PENDING, Bundle, BundleError, Kind, OwnRules, Signer
from safeconduct.storage import Read, Write

_MOST_NAMED = 200

Taken = Literal["activated", "current", "held"]


class Differing(NamedTuple):
    """Files by what became of them."""

    added: list[str]
    changed: list[str]
    removed: list[str]


class Activations:
    """Activates bundles."""

    def __init__(self, *, trail: Trail, clock: Clock, signer: Signer) -> None:
        self._trail = trail
        self._clock = clock
        self._signer = signer
        self._shipped = Bundle.shipped()

    async def stored(self, tx: Read, host: HostId, digest: str) -> OwnRules | None:
        """Return the rules of a bundle, or None when its stored copy cannot be trusted."""
        if digest in {"", PENDING}:
            return OwnRules()
        try:
            return (await policy.load(tx, host, digest, signer=self._signer)).rules
        except BundleError:
            return None

    async def held(self, tx: Read, host: HostId, now: str, offered: str) -> bool:
        """Tell whether an operator went back from what is offered, so that it must wait.

        Only something else than what was gone back from ends that, or a command.
        """
        if not offered or offered == now:
            return False
        return offered in policy.rolled_back(await policy.history(tx, host))

    async def check_version(self, tx: Read, host: HostId, offer: Offer) -> None:
        """Refuse what an author signed before something the host has had already.

        Raises:
            BundleError: If it is older, or another bundle of the same version.
        """
        if offer.version is None:
            return
        newest = await policy.newest_version(tx, host)
        if newest is None or offer.version > newest[0] or offer.rules.digest == newest[1]:
            return
        raise BundleError(
            f"version {offer.version} was signed, and this host has had version {newest[0]}; "
            "sign with a higher one, or go back by command: safeconduct policy rollback"
        )

    async def take(self, tx: Write, host: Host, offer: Offer, *, kind: Kind, by: str) -> Taken:
        """Activate what is offered, unless it decides already or an operator went back from it.

        Args:
            tx: The transaction; it must not be committed if this raises.
            host: As it is now.
            offer: What was judged.
            kind: What brings this about.
            by: Who wants it.

        Raises:
            BundleError: If it was signed before something the host has had.
        """
        now, offered = host.policies.policy_bundle, offer.rules.digest
        if await self.held(tx, host.key, now, offered):
            return "held"
        if offered == now and await self.stored(tx, host.key, now) is not None:
            return "current"
        await self.check_version(tx, host.key, offer)
        await self.activate(tx, host, offer, kind=kind, by=by)
        return "activated"

    async def activate(self, tx: Write, host: Host, offer: Offer, *, kind: Kind, by: str) -> None:
        """Store what is offered and let it decide.

        Args:
            tx: The transaction; it must not be committed if this raises.
            host: As it is now.
            offer: What was judged.
            kind: What brings this about.
            by: Who wants it.
        """
        before = await self.stored(tx, host.key, host.policies.policy_bundle)
        self._record(host, before or OwnRules(), offer, kind=kind, by=by)
        if offer.rules.digest:
            await policy.keep(
                tx,
                host.key,
                offer.rules,
                signer=self._signer,
                source=offer.source,
                version=offer.version,
                at=self._clock.now(),
            )
        await self._switch(tx, host, offer, kind=kind, by=by)

    async def roll_back(
        self, tx: Write, host: Host, digest: str, *, by: str, because: str
    ) -> policy.Stored:
        """Let a bundle decide that the host has had.

        Raises:
            Refused: If there is no such bundle, or it decides already.
        """
        try:
            stored = await policy.load(tx, host.key, digest, signer=self._signer)
        except BundleError as error:
            raise Refused(
                Code.CONFLICT, f"Bundle {digest[:12]} cannot be used: {error.public}."
            ) from error
        if digest == host.policies.policy_bundle:
            raise Refused(Code.CONFLICT, f"Bundle {digest[:12]} decides already.")
        before = await self.stored(tx, host.key, host.policies.policy_bundle)
        offer = Offer(rules=stored.rules, source=stored.source, because=because)
        self._record(host, before or OwnRules(), offer, kind="rolled_back", by=by)
        await self._switch(tx, host, offer, kind="rolled_back", by=by)
        return stored

    async def shadow(self, tx: Write, host: Host, offer: Offer | None, *, by: str) -> None:
        """Have rules asked beside those that decide, or none any more.

        Args:
            tx: The transaction; it must not be committed if this raises.
            host: As it is now.
            offer: What was judged, or None.
            by: Who wants it.
        """
        digest = "" if offer is None else offer.rules.digest
        self._trail.append(
            Event(
                kind="policy.shadowed",
                host=host.key,
                bundle=None if offer is None else offer.rules.upon(self._shipped).digest,
                detail={"by": by, "before": host.policies.policy_shadow, "after": digest},
            )
        )
        if offer is not None:
            await policy.keep(
                tx,
                host.key,
                offer.rules,
                signer=self._signer,
                source=offer.source,
                version=None,  # it was not activated, so a later one need not be higher
                at=self._clock.now(),
            )
        policies = replace(host.policies, policy_shadow=digest)
        await hosts.save(tx, replace(host, policies=policies))

    async def end(self, tx: Write, host: Host, *, by: str) -> None:
        """Note that nothing decides any more, because the host goes."""
        offer = Offer(because="the host was taken out of service")
        await self._note(tx, host, offer, kind="removed", by=by)

    async def _switch(self, tx: Write, host: Host, offer: Offer, *, kind: Kind, by: str) -> None:
        await self._note(tx, host, offer, kind=kind, by=by)
        policies = replace(host.policies, policy_bundle=offer.rules.digest)
        await hosts.save(tx, replace(host, policies=policies))

    async def _note(self, tx: Write, host: Host, offer: Offer, *, kind: Kind, by: str) -> None:
        await policy.note(
            tx,
            host.key,
            digest=offer.rules.digest,
            previous=host.policies.policy_bundle,
            decides_as=offer.rules.upon(self._shipped).digest,
            kind=kind,
            at=self._clock.now(),
            by=by,
            because=offer.because,
        )

    def _record(self, host: Host, before: OwnRules, offer: Offer, *, kind: Kind, by: str) -> None:
        differing = difference(before, offer.rules)
        self._trail.append(
            Event(
                kind="policy.activated",
                host=host.key,
                bundle=offer.rules.upon(self._shipped).digest,
                reason=kind,
                detail={
                    "by": by,
                    "because": offer.because,
                    "source": offer.source,
                    "before": host.policies.policy_bundle,
                    "after": offer.rules.digest,
                }
                | {name: files[:_MOST_NAMED] for name, files in differing._asdict().items()},
            )
        )


def difference(before: OwnRules, after: OwnRules) -> Differing:
    """Tell which files are new, other or gone; data and definitions count as one each."""
    old, new = before.files, after.files
    return Differing(
        added=sorted(new.keys() - old.keys()),
        changed=sorted(path for path in new.keys() & old.keys() if new[path] != old[path]),
        removed=sorted(old.keys() - new.keys()),
    )
