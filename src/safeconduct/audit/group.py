"""Making what was written durable, in groups: one thread, one sync for all who wait.

The thread sleeps until something is written, lets a tenth of a second of work gather unless
somebody waits for it, and syncs once. Its cost is bound by its pace, not by the load.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from safeconduct.audit.event import AuditUnavailable

_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class GroupSync:
    """Runs `work` in a thread after `dirty()`, and tells those who wait when it is done."""

    def __init__(self, work: Callable[[], None], *, pause_seconds: float = 0.1) -> None:
        """Prepare; `start` makes the thread.

        Args:
            work: Makes everything written before the call durable, or raises OSError.
            pause_seconds: How long writes gather while nobody waits.
        """
        self._work = work
        self._pause_seconds = pause_seconds
        self._changed = threading.Condition()
        self._waiters: list[_Waiter] = []
        # Read without the lock by whoever writes: it is cleared before `work` looks.
        self.due = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="audit-sync", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def dirty(self) -> None:
        """Note that something was written; needless while a sync is `due` already."""
        with self._changed:
            self.due = True
            self._changed.notify()

    async def wait(self) -> None:
        """Return once a sync that began after this call is done.

        Raises:
            AuditUnavailable: If it failed, or the thread has ended.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        with self._changed:
            if self._stopping or not self._thread.is_alive():
                raise AuditUnavailable("the sync thread has ended")
            self._waiters.append((loop, done))
            self.due = True
            self._changed.notify()
        await done

    def stop(self) -> None:
        """Sync what is due and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        waiters: list[_Waiter] = []
        try:
            while self._due():
                with self._changed:
                    self.due = False
                    waiters, self._waiters = self._waiters, []
                try:
                    self._work()
                except OSError as error:
                    _settle(waiters, error.strerror)
                else:
                    _settle(waiters, None)
                waiters = []
        finally:  # should the thread die of a bug, nobody may wait for it forever
            with self._changed:
                self._stopping = True
                waiters += self._waiters
            _settle(waiters, "the sync thread has ended")

    def _due(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self.due or self._stopping)
            self._changed.wait_for(
                lambda: self._waiters or self._stopping, timeout=self._pause_seconds
            )
            return self.due


def _settle(waiters: list[_Waiter], failure: str | None) -> None:
    for loop, done in waiters:
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, done, failure)


def _resolve(done: asyncio.Future[None], failure: str | None) -> None:
    if done.done():  # whoever waited was cancelled
        return
    if failure is None:
        done.set_result(None)
    else:
        done.set_exception(AuditUnavailable(failure))
