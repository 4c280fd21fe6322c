"""How many connections there may be: of one address, and of all within the limit of open files.

Nobody has shown who they are when a connection begins, so all that tells strangers apart is the
address. A trusted proxy's own connections are its clients' and count only towards the whole.
"""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Callable

_SHARE_OF_FILES = 0.75  # the rest is for servers behind, the database, the trail
_NEAR = 0.9
_SAY_AGAIN_SECONDS = 60.0
_MOST_FILES = 1_048_576
_log = logging.getLogger(__name__)


def raise_file_limit() -> None:
    """Let this process and its children open as many files as the system lets them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS has a lower limit than it says
            _log.warning("the limit of open files stays at %d", soft)


def most_connections() -> int:
    """Return how many connections this process may hold and still open files of its own."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return int((_MOST_FILES if soft == resource.RLIM_INFINITY else soft) * _SHARE_OF_FILES)


class Connections:
    """Counts the connections of this process."""

    def __init__(
        self,
        *,
        per_address: int,
        most: int | None = None,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with none.

        Args:
            per_address: Most of one subscriber at a time.
            most: Most of all at a time; by default what the limit of open files leaves.
            seconds: Counts seconds from any beginning.
        """
        self._per_address = per_address
        self._most = most_connections() if most is None else most
        self._seconds = seconds
        self._open: dict[str, int] = {}
        self._all = 0
        self._said_at = -_SAY_AGAIN_SECONDS

    def begin(self, subscriber: str | None) -> int:
        """Count one more; returns 0, or the HTTP status with which it is turned away.

        Args:
            subscriber: Whose it is, or None if it is not counted with an address.
        """
        if self._all >= self._most * _NEAR:
            self._say_near()
        if self._all >= self._most:
            return 503
        if subscriber is not None:
            count = self._open.get(subscriber, 0)
            if count >= self._per_address:
                return 429
            self._open[subscriber] = count + 1
        self._all += 1
        return 0

    def end(self, subscriber: str | None) -> None:
        """Count one less, of those that were counted."""
        self._all -= 1
        if subscriber is None:
            return
        left = self._open[subscriber] - 1
        if left:
            self._open[subscriber] = left
        else:
            del self._open[subscriber]

    def _say_near(self) -> None:
        now = self._seconds()
        if now - self._said_at < _SAY_AGAIN_SECONDS:
            return
        self._said_at = now
        _log.warning(
            "%d connections are open of %d that the limit of open files leaves room for; beyond "
            "that, new ones are turned away. Raise the limit (ulimit -n, LimitNOFILE=), or see "
            "who holds them.",
            self._all,
            self._most,
        )
