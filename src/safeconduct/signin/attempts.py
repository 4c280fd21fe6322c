"""How often somebody may guess, without letting a guesser lock the owner out.

Three counts, all in memory and bounded: by account and network (doubling waits), by network
(one guesser, many accounts) and by account (many guessers, one account). The last one does
not apply to networks from which the owner has come in before, or through a mailed link, so
an attack on an account slows the attackers and leaves the owner a way in.

The waits are this worker's own. So that more workers, or starting them again, allow no more
guesses, all workers of a node also count together, up to what one alone would let through.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections import OrderedDict
from typing import Generic, NamedTuple, TypeVar

import msgspec

from safeconduct.core.clock import Clock
from safeconduct.core.model import HostId
from safeconduct.core.secrets import digest
from safeconduct.storage import Tally, TallyBusy

_FREE_GUESSES = 5
_LONGEST_WAIT_SECONDS = 900.0
_FORGOTTEN_AFTER_SECONDS = 3600.0
_PER_NETWORK = (60, 10.0)  # guesses at once, then one in so many seconds
_PER_ACCOUNT = (30, 20.0)
_SIZE = 20_000
_TRIES = 500  # about a millisecond

V = TypeVar("V")


class _Guesses(msgspec.Struct):
    count: int = 0
    last: float = 0.0


class _Bucket(msgspec.Struct):
    level: float
    at: float


class _Bounded(OrderedDict[tuple[str, ...], V], Generic[V]):
    """A dictionary that forgets what was written longest ago."""

    def __setitem__(self, key: tuple[str, ...], value: V) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > _SIZE:
            self.popitem(last=False)


class Attempts:
    """Counts guesses. What is counted is what was typed, so unknown accounts count alike."""

    def __init__(self, *, clock: Clock, tally: Tally | None = None) -> None:
        """Begin with no guesses.

        Args:
            clock: Its `elapsed` counts: setting the date lets nobody guess more, or wait longer.
            tally: Where all workers count together; by default there are no others.
        """
        self._clock = clock
        self._together = _Together(tally or Tally())
        self._pairs: _Bounded[_Guesses] = _Bounded()
        self._buckets: _Bounded[_Bucket] = _Bounded()
        self._welcome: _Bounded[bool] = _Bounded()

    def begin(self, host: HostId, email: str, ip: str) -> float:
        """Count a guess; returns 0, or the seconds to wait, in which case it did not count.

        It is counted before the password is looked at, so that guesses made at the same
        time count as well.
        """
        now = self._clock.elapsed()
        account, network = digest(email), network_of(ip)
        pair = (host, account, network)
        wait = max(
            self._pair_wait(pair, now),
            self._wait((host, "", network), now, _PER_NETWORK),
            0.0 if pair in self._welcome else self._wait((host, account, ""), now, _PER_ACCOUNT),
        )
        if wait > 0:
            return wait
        wait = self._together.begin(pair, now, known=pair in self._welcome)
        if wait > 0:
            return wait
        guesses = self._pairs.get(pair, _Guesses())
        self._pairs[pair] = _Guesses(count=guesses.count + 1, last=now)
        self._pour((host, "", network), now, _PER_NETWORK)
        if pair not in self._welcome:
            self._pour((host, account, ""), now, _PER_ACCOUNT)
        return 0.0

    def succeeded(self, host: HostId, email: str, ip: str) -> None:
        """Take back the guess, which was none, and remember where the owner comes from."""
        pair = (host, digest(email), network_of(ip))
        self._pairs.pop(pair, None)
        self._together.succeeded(pair, known=pair in self._welcome)
        self._welcome[pair] = True
        for key in ((host, "", pair[2]), (host, pair[1], "")):
            bucket = self._buckets.get(key)
            if bucket is not None:
                bucket.level = max(0.0, bucket.level - 1)

    def _pair_wait(self, pair: tuple[str, ...], now: float) -> float:
        guesses = self._pairs.get(pair)
        if guesses is None or guesses.count < _FREE_GUESSES:
            return 0.0
        if now - guesses.last > _FORGOTTEN_AFTER_SECONDS:
            del self._pairs[pair]
            return 0.0
        doubled = 2.0 ** min(guesses.count - _FREE_GUESSES, 20)
        return guesses.last + min(doubled, _LONGEST_WAIT_SECONDS) - now

    def _wait(self, key: tuple[str, ...], now: float, limit: tuple[int, float]) -> float:
        bucket = self._buckets.get(key)
        if bucket is None:
            return 0.0
        level = _drained(bucket, now, limit)
        return (level + 1 - limit[0]) * limit[1]

    def _pour(self, key: tuple[str, ...], now: float, limit: tuple[int, float]) -> None:
        bucket = self._buckets.get(key)
        level = 0.0 if bucket is None else _drained(bucket, now, limit)
        self._buckets[key] = _Bucket(level=level + 1, at=now)


class _Together:
    """The guesses of all workers, in counts that no one worker reaches alone."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def begin(self, pair: tuple[str, str, str], now: float, *, known: bool) -> float:
        """Count a guess; returns 0, or the seconds to wait, in which case it did not count."""
        counted: list[_Bound] = []
        for bound in _bounds(pair, known=known):
            wait = self._take(bound, now)
            if wait > 0:
                for before in counted:
                    self._give_back(before)
                return wait
            counted.append(bound)
        return 0.0

    def succeeded(self, pair: tuple[str, str, str], *, known: bool) -> None:
        for bound in _bounds(pair, known=known):
            self._give_back(bound, every=bound.key[0] == "guesses")

    def _take(self, bound: _Bound, now: float) -> float:
        for _ in range(_TRIES):
            with contextlib.suppress(TallyBusy):
                return self._tally.take(
                    bound.key, limit=bound.limit, seconds=bound.seconds, now=now
                )
        return 1.0  # whoever counts there is stopped; until it goes on, nobody guesses

    def _give_back(self, bound: _Bound, *, every: bool = False) -> None:
        for _ in range(_TRIES):
            with contextlib.suppress(TallyBusy):
                self._tally.give_back(
                    bound.key, limit=bound.limit, seconds=bound.seconds, every=every
                )
                return


class _Bound(NamedTuple):
    key: tuple[str, ...]
    limit: int
    seconds: float


def _bounds(pair: tuple[str, str, str], *, known: bool) -> list[_Bound]:
    """Return what a guess counts in; each is a little more than one worker's waits let through."""
    host, account, network = pair
    found = [
        _Bound(("guesses", *pair), 20, 3600),
        _Bound(("guesses", *pair), 120, 86_400),
        _Bound(("guesses of a network", host, network), _in_an_hour(_PER_NETWORK), 3600),
    ]
    if not known:
        key = ("guesses of an account", host, account)
        found.append(_Bound(key, _in_an_hour(_PER_ACCOUNT), 3600))
    return found


def _in_an_hour(limit: tuple[int, float]) -> int:
    return limit[0] + int(3600 / limit[1])


def network_of(ip: str) -> str:
    """Return what one person's line has in common: an IPv4 address, or an IPv6 /64."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)


def _drained(bucket: _Bucket, now: float, limit: tuple[int, float]) -> float:
    return max(0.0, bucket.level - max(0.0, now - bucket.at) / limit[1])
