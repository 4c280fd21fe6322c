"""The door: whose host a request is for, where it comes from, and whether it came too often."""

from __future__ import annotations

import time
from typing import NamedTuple

from safeconduct.edge.addresses import ClientAddresses, RawHeaders, subscriber
from safeconduct.edge.rates import Limits, Throttle, Window, wait
from safeconduct.hosts import Host, Hosts
from safeconduct.storage import LEASE_SECONDS, Database, Feed, Lease, Tally
from safeconduct.telemetry import Metrics

_LIMITED = {
    "error": "rate_limited",
    "message": "You have exceeded the rate limit. Please try again later.",
}
OUT_OF_TOUCH = (
    "The gateway has lost touch with its database and cannot know what still holds, so it refuses "
    "everything until it does. Nothing was done. Try again in a few seconds."
)
_REFUSED = {"error": "unavailable", "message": OUT_OF_TOUCH}
_COME_BACK = (b"retry-after", b"%d" % LEASE_SECONDS)


class Approach(NamedTuple):
    """What is known of a request from its head and its connection alone.

    Attributes:
        authority: The one Host field; None without any, "" if there are several.
        address: The client's, or what trusted proxies say of it.
        subscriber: Stands for whoever the address belongs to, where requests are counted.
        windows: Where it is counted; nowhere, if the address is a trusted proxy's own.
    """

    authority: str | None
    address: str
    subscriber: str
    windows: tuple[Window, ...]


class Turned(NamedTuple):
    """A request that was turned away, with what to say."""

    status: int
    body: dict[str, str]
    headers: tuple[tuple[bytes, bytes], ...] = ()


AWAY = Turned(503, _REFUSED, (_COME_BACK,))


class Door:
    """Looks at every request once, whichever way it is served afterwards."""

    def __init__(
        self,
        *,
        hosts: Hosts,
        database: Database,
        feed: Feed,
        lease: Lease,
        tally: Tally,
        metrics: Metrics,
        limits: Limits,
        addresses: ClientAddresses | None = None,
    ) -> None:
        """Take what is needed to tell who may come in.

        Args:
            lease: While it runs, what is in memory may be decided on.
            tally: Where attempts are counted that all workers count together.
            addresses: Reads where requests come from; without, every peer is a client.
        """
        self._hosts = hosts
        self._database = database
        self._feed = feed
        self._lease = lease
        self._metrics = metrics
        self._throttle = Throttle(limits, tally)
        self._addresses = addresses or ClientAddresses()

    @property
    def behind(self) -> bool:
        """Whether something changed that this process has not seen; then `catch_up` first."""
        return (self._feed.behind() or self._hosts.stale) and not self._lease.lapsed

    async def catch_up(self) -> None:
        await self._database.catch_up()
        if self._hosts.stale:
            await self._hosts.refresh()

    async def keep_up(self) -> None:
        """Catch up if something changed that this process has not seen."""
        if self.behind:
            await self.catch_up()

    def approach(self, verb: str, path: str, headers: RawHeaders, peer: str) -> Approach:
        """Read a request's head, whose names are lower-case; the same one says the same again."""
        address = self._addresses.of(peer, headers)
        ours = self._addresses.trusts(address)  # of many clients, whom it should have named
        windows = () if ours else self._throttle.windows(verb, path)
        return Approach(_authority(headers), address, subscriber(address), windows)

    def counts(self, peer: str) -> str | None:
        """Return whose connections one from `peer` is counted with; None for trusted proxies."""
        return None if self._addresses.trusts(peer) else subscriber(peer)

    def admit(self, approach: Approach) -> Host | Turned:
        """Count the request and find the tenant."""
        seconds = wait(approach.windows, approach.subscriber, now=time.monotonic())
        if seconds:
            self._metrics.throttled += 1
            return Turned(429, _LIMITED, ((b"retry-after", str(seconds).encode()),))
        return self.find(approach)

    def find(self, approach: Approach) -> Host | Turned:
        """Find the tenant as this process knows it now; a request may be looked at again."""
        if self._lease.lapsed:
            return AWAY
        authority = approach.authority
        host = self._hosts.only if authority is None else self._hosts.at(authority)
        return Turned(421, {"error": "host not found"}) if host is None else host


def _authority(headers: RawHeaders) -> str | None:
    found = [value for name, value in headers if name == b"host"]
    if not found:
        return None
    return found[0].decode("latin-1") if len(found) == 1 else ""
