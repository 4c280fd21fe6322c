"""Runs the gateway: applies the configuration, answers, keeps house, stops gracefully."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import uvicorn
import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from safeconduct.app.answering import Answering, answering
from safeconduct.app.building import Installation, open_installation
from safeconduct.app.expiring import Expiring
from safeconduct.app.listening import Listening
from safeconduct.app.provision import Provisioner
from safeconduct.app.readiness import readiness_of, upstreams_of
from safeconduct.app.sweeping import Sweeps
from safeconduct.app.upkeep import Upkeep
from safeconduct.core.clock import Clock
from safeconduct.core.errors import GatewayError
from safeconduct.egress import Fetcher
from safeconduct.policy import Bundle, keep_built_in
from safeconduct.relations import forget_clusters
from safeconduct.settings import Settings
from safeconduct.storage import Leading, Lease, Membership, StorageError, between_workers
from safeconduct.upstreams import Listener

_POLL_SECONDS = 1.0
_FLUSH_SECONDS = 30.0
_CLEAN_SECONDS = 300.0
_EXPIRE_SECONDS = 60.0
_WITNESS_SECONDS = 10.0  # `audit verify` says this number
_REPOSITORY_SECONDS = 2.0  # a host's own poll_seconds counts; this is how often we ask about them
_SETTLE_SECONDS = 1.0
_UPKEEP_SECONDS = 1.0  # when each server is due is its own matter
_DRAIN_SECONDS = 20
_COLLECT_AFTER = (20_000, 20, 20)  # a call makes few cycles, so looking for them can wait
_KEEP_ALIVE_SECONDS = 75
_log = logging.getLogger(__name__)

NOT_RELOADED = (
    "SIGHUP changes nothing and ends nothing. What the file says of hosts takes effect by: "
    "safeconduct apply. What it says of the server takes effect when serve is started again."
)


class Gateway:
    """One worker: an ASGI application with a life of its own around it."""

    def __init__(self, parts: Installation, answers: Answering) -> None:
        self._parts = parts
        self._answers = answers

    @property
    def protocol(self) -> Callable[..., asyncio.Protocol]:
        """What speaks HTTP on a connection: MCP messages directly, the rest through ASGI."""
        return self._answers.protocol

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answers.app(scope, receive, send)

    def stop(self) -> None:
        """End standing streams and held calls, so that a graceful stop need not wait for them."""
        self._answers.returns.stop()
        self._answers.held.stop()


@contextlib.asynccontextmanager
async def gateway(
    settings: Settings,
    *,
    clock: Clock | None = None,
    apply: bool = True,
    fetcher: Fetcher | None = None,
    upkeep: bool = True,
) -> AsyncIterator[Gateway]:
    """Open everything and keep it going; leaving closes it in reverse.

    Args:
        settings: The configuration file, read.
        clock: Tells the time; the machine's by default.
        apply: Whether to bring the installation to what the file says first.
        fetcher: Gets client metadata documents; guarded, from the internet, by default.
        upkeep: Whether to read servers and listen to them unasked, as a gateway that serves does.
    """
    async with contextlib.AsyncExitStack() as stack:
        parts = await stack.enter_async_context(
            open_installation(settings, clock=clock, fetcher=fetcher)
        )
        await keep_built_in(parts.database, Bundle.shipped(), clock=parts.clock)
        if apply:
            await Provisioner.of(parts).apply(settings)
        await stack.enter_async_context(_following(parts))
        await _prepared(parts)
        ready = readiness_of(parts)
        stack.push_async_callback(ready.close)
        upstreams = upstreams_of(parts)
        stack.push_async_callback(upstreams.close)
        answers = answering(parts, ready=ready, upstreams=upstreams)
        stack.push_async_callback(answers.watch.close)
        stack.push_async_callback(answers.repositories.close)
        stack.push_async_callback(answers.recovery.aclose)
        stack.push_async_callback(parts.sessions.flush)
        for work, seconds in (
            (parts.sessions.flush, _FLUSH_SECONDS),
            (answers.housekeeping.clean, _CLEAN_SECONDS),
            (answers.sightings.settle, _SETTLE_SECONDS),
            (_witness(parts), _WITNESS_SECONDS),
            (Expiring(parts).end_what_ran_out, _EXPIRE_SECONDS),
            (answers.repositories.look_around, _REPOSITORY_SECONDS),
        ):
            stack.push_async_callback(_every(seconds, work, lease=parts.lease))
        await answers.repositories.look_around()
        if upkeep:
            await stack.enter_async_context(_upkept(parts, answers))
        yield Gateway(parts, answers)


@contextlib.asynccontextmanager
async def _upkept(parts: Installation, answers: Answering) -> AsyncIterator[None]:
    """Read servers when they are due and listen to them, wherever this process is to do so."""
    upkeep = Upkeep(
        Leading(parts.database, parts.settings.server.data_dir / "upkeep.lock"),
        sweeps=Sweeps(parts.database, parts.feed, watch=answers.watch),
        listening=Listening(
            parts.database,
            parts.feed,
            listener=Listener(parts.transport),
            catalogue=parts.catalogue,
            manners=parts.manners,
            watch=answers.watch,
        ),
    )
    stop = _every(_UPKEEP_SECONDS, upkeep.look_around, lease=parts.lease)
    try:
        await upkeep.look_around()
        yield
    finally:
        await stop()
        await upkeep.close()


async def _prepared(parts: Installation) -> None:
    """Read relations, or bring them to their cluster; or the first call would wait for it."""
    if parts.settings.server.relations.engine == "embedded":
        async with parts.database.write() as tx:
            await forget_clusters(tx)
    for host in parts.hosts.every():
        await parts.backend.prepare(host.key)


@contextlib.asynccontextmanager
async def _following(parts: Installation) -> AsyncIterator[None]:
    """Hear of what others change also while nobody asks anything, so that streams are cut."""
    database, lease = parts.database, parts.lease
    if database.shared:
        async with Membership(
            database,
            parts.feed,
            lease=lease,
            lapsed=parts.sessions.doubt,
            inquiries=parts.inquiries,
        ):
            yield
        return
    stop = _every(_POLL_SECONDS, database.catch_up, lease=lease)
    try:
        with between_workers(parts.settings.server.data_dir / "workers", parts.inquiries):
            yield
    finally:
        await stop()


def _witness(parts: Installation) -> Callable[[], Awaitable[None]]:
    async def witness() -> None:
        await asyncio.to_thread(parts.trail.witness)

    return witness


def _every(
    seconds: float, work: Callable[[], Awaitable[object]], *, lease: Lease
) -> Callable[[], Awaitable[None]]:
    """Start doing something again and again; returns what stops it."""

    async def keep_going() -> None:
        while True:
            await asyncio.sleep(seconds)
            if lease.lapsed:  # the database is away, and that is said elsewhere
                continue
            try:
                await work()
            except GatewayError as error:  # its sentence says it all, at each turn
                _log.error("%s failed and will be tried again: %s", work.__qualname__, error.public)
            except (OSError, StorageError):
                _log.exception("%s failed and will be tried again", work.__qualname__)

    task = asyncio.get_running_loop().create_task(keep_going())

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    return stop


class _Server(uvicorn.Server):
    """uvicorn's server, telling us when it listens, and before it stops."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        listening: Callable[[str], None],
        stopping: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._listening = listening
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._listening(spelled(self.servers[0].sockets[0]))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()
        await super().shutdown(sockets)


def spelled(listening: socket.socket) -> str:
    """Return a socket's address as the configuration writes it."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def work(
    settings: Settings,
    *,
    sockets: list[socket.socket] | None = None,
    listening: Callable[[str], None] = lambda _address: None,
) -> int:
    """Be the only worker, or one of several that were given their sockets.

    Args:
        settings: The configuration file, read.
        sockets: Where to listen; without, where the settings say, after applying them.
        listening: Told the address as soon as requests are answered there.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_work(settings, sockets, listening))


async def _work(
    settings: Settings, sockets: list[socket.socket] | None, listening: Callable[[str], None]
) -> int:
    async with gateway(settings, apply=sockets is None) as running:
        # What start-up made stays; looking through it again and again only costs time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECT_AFTER)
        server = _Server(configured(running, settings), listening=listening, stopping=running.stop)
        _heed_signals(server)
        await server.serve(sockets)
        return 0 if server.started else 2


def _heed_signals(server: uvicorn.Server) -> None:
    """Let a signal, or the death of the parent of a worker, stop the server and do no more.

    uvicorn raises a signal again once it has stopped. Left to its default, that would end the
    process before anything is closed: sessions would forget their last use.
    """

    def stop(*_: object) -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _log.info, NOT_RELOADED)
    parent = multiprocessing.parent_process()
    if parent is not None:
        asyncio.get_running_loop().add_reader(parent.sentinel, stop)


def _protocol(app: Gateway | ASGIApp) -> type[asyncio.Protocol]:
    """Return what makes a connection's protocol; uvicorn only calls it, so a factory will do."""
    if isinstance(app, Gateway):
        return cast("type[asyncio.Protocol]", app.protocol)
    return HttpToolsProtocol


def configured(app: Gateway | ASGIApp, settings: Settings) -> uvicorn.Config:
    """Say how uvicorn serves the gateway."""
    return uvicorn.Config(
        app,
        host=settings.server.listen_host,
        port=settings.server.listen_port,
        http=_protocol(app),
        ws="none",
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        h11_max_incomplete_event_size=64 * 1024,
    )
