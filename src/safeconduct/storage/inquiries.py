"""Yes-or-no questions to the other processes of an installation, which nobody writes down.

For what each process knows of itself and is seldom asked about. A question goes out once, and
whoever says yes first settles it; no word in time is a no. On one machine questions go over
sockets in the data directory; where several nodes share a PostgreSQL, by its notifications.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

_PATIENCE_SECONDS = 0.5
_MOST_AT_ONCE = 64
_MOST_BYTES = 4096
_log = logging.getLogger(__name__)


class Inquiries:
    """Asks, answers, and matches the answers to what was asked."""

    def __init__(self, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self.answer: Callable[[str], bool] = lambda _question: False
        self._patience_seconds = patience_seconds
        self._send: Callable[[str], Awaitable[int | None]] | None = None
        self._waiting: dict[str, tuple[asyncio.Future[bool], list[int]]] = {}

    def connect(self, send: Callable[[str], Awaitable[int | None]] | None) -> None:
        """Take the way to the others, or have none any more.

        Args:
            send: Sends a text to all others; returns how many there are, None if nobody knows.
        """
        self._send = send

    async def know(self, question: str) -> bool:
        """Ask the others."""
        if self._send is None or len(self._waiting) >= _MOST_AT_ONCE:
            return False
        name = secrets.token_hex(8)
        settled: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        missing = [1]  # until it is known how many were asked
        self._waiting[name] = (settled, missing)
        try:
            async with asyncio.timeout(self._patience_seconds):
                count = await self._send(f"ask {name} {question}")
                if count is not None:
                    missing[0] += count - 1
                    if missing[0] <= 0:
                        return False
                else:
                    missing[0] = -1
                return await settled
        except (TimeoutError, OSError):
            return False
        finally:
            del self._waiting[name]

    def hear(self, text: str) -> str | None:
        """Take in what another process says; returns the reply to a question."""
        word, _, rest = text.partition(" ")
        name, _, question = rest.partition(" ")
        if word == "ask":
            if name in self._waiting:  # our own, come back
                return None
            return f"{'yes' if self.answer(question) else 'no'} {name}"
        waiting = self._waiting.get(name)
        if waiting is not None:
            settled, missing = waiting
            missing[0] -= 1
            if word == "yes" and not settled.done():
                settled.set_result(True)
            elif missing[0] == 0 and not settled.done():
                settled.set_result(False)
        return None


@contextlib.contextmanager
def between_workers(directory: Path, inquiries: Inquiries) -> Iterator[None]:
    """Carry questions between the workers of one machine, over sockets in a directory."""
    try:
        sockets = _Sockets(directory, inquiries)
    except OSError as error:  # nothing works less but messages about other workers' requests
        _log.warning("Workers cannot ask each other: %s", error.strerror)
        yield
        return
    try:
        yield
    finally:
        sockets.close()


class _Sockets:
    """One socket of ours, and those of the others beside it."""

    def __init__(self, directory: Path, inquiries: Inquiries) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        self._directory = directory
        self._inquiries = inquiries
        self._folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(self._at(self._name))
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._readable)
        inquiries.connect(self._ask)

    def close(self) -> None:
        self._inquiries.connect(None)
        self._loop.remove_reader(self._socket)
        self._socket.close()
        with contextlib.suppress(OSError):
            os.unlink(self._name, dir_fd=self._folder)
        os.close(self._folder)

    def _at(self, name: str) -> str:
        """Spell a socket's address, which may be no longer than 107 bytes wherever we are."""
        return f"/proc/self/fd/{self._folder}/{name}"

    async def _ask(self, text: str) -> int:
        names = [each.name for each in self._directory.iterdir()]
        return sum(self._sent(text, name) for name in names if name != self._name)

    def _sent(self, text: str, name: str) -> bool:
        try:
            self._socket.sendto(f"{self._name} {text}".encode(), self._at(name))
        except ConnectionRefusedError:  # its worker died
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._folder)
            return False
        except OSError:  # full, or gone this moment
            return False
        return True

    def _readable(self) -> None:
        for _ in range(_MOST_AT_ONCE):
            try:
                text = self._socket.recv(_MOST_BYTES).decode("utf-8", "replace")
            except OSError:
                return
            sender, _, said = text.partition(" ")
            reply = self._inquiries.hear(said)
            if reply is not None and "/" not in sender:
                self._sent(reply, sender)
