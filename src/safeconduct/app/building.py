"""The composition root: plain values in, every part constructed once, in order of dependency.

Nothing is looked up at run time and nothing is created at import. `open_installation` gives
the parts that administration needs; `build` adds what answers requests.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from safeconduct.app.backends import backend_of, schemas_of
from safeconduct.app.occupancy import make_place
from safeconduct.app.outside import Outside, not_understood, outside, unheeded
from safeconduct.app.policies import HostPolicies
from safeconduct.approvals import ApprovalQueue
from safeconduct.audit import Trail
from safeconduct.consent import Consents
from safeconduct.core.clock import Clock, SystemClock
from safeconduct.core.errors import Code, Refused
from safeconduct.egress import Fetcher, Transport
from safeconduct.egress import Limits as TransportLimits
from safeconduct.hosts import Host, Hosts
from safeconduct.hosts import every as hosts_of
from safeconduct.oauth import Clients, Revocations
from safeconduct.people import People
from safeconduct.policy import OpaServers, Shelf, Signer
from safeconduct.proxy import Background
from safeconduct.relations import Backend, Ceilings, Editor, Relations
from safeconduct.sessions import Sessions
from safeconduct.settings import OpaSettings, ServerSettings, Settings
from safeconduct.signin import Passwords
from safeconduct.storage import (
    Database,
    Epoch,
    Feed,
    Inquiries,
    Lease,
    Read,
    Tally,
    check_schema,
    migrate,
)
from safeconduct.upstreams import Catalogue, Crawler, Credentials, Manners

DATABASE_FILE, KEY_FILE = "safeconduct.db", "master.key"
_log = logging.getLogger(__name__)
_KEY_BYTES = 32
_MOST_WRITERS = 320  # as many workers as may be configured, and commands beside them


class Installation(NamedTuple):
    """Everything that is not about answering requests.

    Attributes:
        relations: The hosts' tuples in memory.
        backend: Who answers questions about them.
        editor: Changes those that come by request.
    """

    settings: Settings
    clock: Clock
    root_key: bytes
    feed: Feed
    tally: Tally
    database: Database
    inquiries: Inquiries
    lease: Lease
    trail: Trail
    hosts: Hosts
    shelf: Shelf
    people: People
    ceilings: Ceilings
    relations: Relations
    backend: Backend
    editor: Editor
    policies: HostPolicies
    consents: Consents
    sessions: Sessions
    approvals: ApprovalQueue
    catalogue: Catalogue
    fetcher: Fetcher
    clients: Clients
    passwords: Passwords
    transport: Transport
    outside: Outside
    opa: OpaServers | None
    crawler: Crawler
    manners: Manners
    credentials: Credentials
    revocations: Revocations
    background: Background


@contextlib.asynccontextmanager
async def open_installation(
    settings: Settings,
    *,
    clock: Clock | None = None,
    writer: str | None = None,
    fetcher: Fetcher | None = None,
    key_dir: Path | None = None,
    upgrade: bool = True,
) -> AsyncIterator[Installation]:
    """Open the store, bring it up to date, take a slot in the audit trail.

    Args:
        settings: The configuration file, read.
        clock: Tells the time; the machine's by default.
        writer: The audit trail's slot, or None for the first that is free.
        fetcher: Gets client metadata documents; guarded, from the internet, by default.
        key_dir: Where to say that the key belongs, if not in the data directory itself.
        upgrade: Whether the database is brought up to date, or has to be already.
    """
    clock = clock or SystemClock()
    server = settings.server
    make_place(server.data_dir)
    async with contextlib.AsyncExitStack() as stack:
        epoch = Epoch(server.data_dir / "epoch")
        stack.callback(epoch.close)
        feed = Feed(epoch)
        tally = Tally(server.data_dir / "tally")
        stack.callback(tally.close)
        database = Database(_url(server), feed=feed, clock=clock)
        stack.push_async_callback(database.close)
        await (migrate if upgrade else check_schema)(database)
        await feed.start(database)
        root = await _root_key(server.data_dir, key_dir or server.data_dir, database)
        trail = _trail(server, clock, writer, root)
        stack.callback(trail.close)
        out = _outside(server)
        transport = Transport(
            limits=TransportLimits(
                connections=server.limits.upstream_calls,
                streams=server.limits.upstream_streams,
                head_seconds=server.limits.upstream_head_seconds,
                idle_seconds=server.limits.upstream_idle_seconds,
            ),
            allow_loopback=server.allow_loopback_upstreams,
            allow_private=server.allow_private_upstreams,
            tls=out.tls,
            proxy=out.proxy,
        )
        stack.push_async_callback(transport.aclose)
        opa = _opa(server.opa, out)
        if opa is not None:
            stack.push_async_callback(opa.aclose)
        fetcher = fetcher or Fetcher(tls=out.tls, proxy=out.proxy)
        stack.push_async_callback(fetcher.aclose)
        shelf = Shelf(Signer(root))
        hosts = Hosts(database, feed, beside=_filling(shelf))
        await hosts.refresh()
        policies, relations = HostPolicies(hosts, shelf, opa), Relations(database, feed)
        backend = await stack.enter_async_context(
            backend_of(server.relations, database, feed, clock, relations, schemas_of(policies))
        )
        yield Installation(
            settings=settings,
            clock=clock,
            root_key=root,
            feed=feed,
            tally=tally,
            database=database,
            inquiries=Inquiries(),
            lease=Lease() if database.shared else Lease.endless(),
            trail=trail,
            hosts=hosts,
            shelf=shelf,
            people=People(database, feed),
            ceilings=Ceilings(database, feed),
            relations=relations,
            backend=backend,
            editor=Editor(database, trail=trail, clock=clock, schema_of=schemas_of(policies)),
            policies=policies,
            consents=Consents(database, feed),
            sessions=Sessions(database, feed, clock=clock),
            approvals=ApprovalQueue(database, feed, trail=trail, clock=clock),
            catalogue=Catalogue(database, feed),
            fetcher=fetcher,
            clients=Clients(database, feed, clock=clock, fetcher=fetcher),
            passwords=Passwords(),
            transport=transport,
            outside=out,
            opa=opa,
            crawler=Crawler(transport),
            manners=Manners(),
            credentials=Credentials(root),
            revocations=Revocations(database, trail=trail, clock=clock),
            background=Background(),
        )


def _filling(shelf: Shelf) -> Callable[[Read, list[Host]], Awaitable[None]]:
    async def fill(tx: Read, hosts: list[Host]) -> None:
        said = [(host.key, host.policies) for host in hosts]
        wanted = [(key, each.policy_bundle) for key, each in said]
        await shelf.fill(tx, wanted + [(key, each.policy_shadow) for key, each in said])

    return fill


async def _root_key(data_dir: Path, key_dir: Path, database: Database) -> bytes:
    """Return the installation's key, unless it is lost: data that it sealed cannot have a new one.

    Raises:
        Refused: If the database holds an installation and the key is not there.
    """
    if not (data_dir / KEY_FILE).exists():
        async with database.read() as tx:
            in_use = bool(await hosts_of(tx))
        if in_use:
            raise Refused(
                Code.CONFLICT,
                f"{key_dir / KEY_FILE} is missing, and the database holds what was sealed and "
                "signed with it. Restore it from a backup, or copy it from another node. Where it "
                "is lost for good, begin with an empty database: a new key would open nothing.",
            )
    return root_key(data_dir)


def root_key(data_dir: Path) -> bytes:
    """Return the installation's key, making it the first time; only its owner may read it.

    Raises:
        Refused: If the file does not hold exactly 32 bytes.
    """
    path = data_dir / KEY_FILE
    if not path.exists():
        _make_key(path)
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise Refused(
            Code.CONFLICT,
            f"{path} is not a key of {_KEY_BYTES} bytes. Put the right file back; without it, "
            "remove it and every agent has to connect again.",
        )
    return key


def _make_key(path: Path) -> None:
    """Write a new key; it is there whole or not at all, and the first of two stays."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix="new-key-") as file:  # mode 0600
        file.write(os.urandom(_KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(file.name, path)


def _outside(server: ServerSettings) -> Outside:
    """Return the way out, and say once where a variable says what is not done."""
    variable = unheeded(server.egress, os.environ)
    if variable is not None:
        _log.warning(
            "%s is set and not used: servers, HTTP APIs and documents are reached directly. Write "
            "server.egress.proxy: {env: %s} to use it.",
            variable,
            variable,
        )
    other = not_understood(server.egress, os.environ)
    if other:
        _log.warning("NO_PROXY: not understood, so reached by the proxy: %s", ", ".join(other))
    return outside(server.egress, server.data_dir, os.environ)


def _opa(said: OpaSettings | None, out: Outside) -> OpaServers | None:
    if said is None:
        return None
    return OpaServers(
        said.urls,
        token=said.token,
        timeout_seconds=said.timeout_milliseconds / 1000,
        most_at_once=said.most_at_once,
        tls=out.tls,
        proxy=out.proxy,
    )


def _url(server: ServerSettings) -> str:
    if server.database is None:
        path = server.data_dir / DATABASE_FILE
        # Made for its owner alone, whatever the directory's mode; SQLite's other files follow.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        return f"sqlite+aiosqlite:///{path}"
    url = server.database.reveal()
    scheme, _, rest = url.partition("://")
    driver = {"postgresql": "postgresql+psycopg", "sqlite": "sqlite+aiosqlite"}
    return f"{driver.get(scheme, scheme)}://{rest}"


def _trail(server: ServerSettings, clock: Clock, writer: str | None, root: bytes) -> Trail:
    slots = [writer] if writer is not None else [str(slot) for slot in range(_MOST_WRITERS)]
    for slot in slots:
        trail = Trail(
            server.data_dir / "audit",
            clock=clock,
            root_key=root,
            writer=slot,
            durability=server.durability,
        )
        try:
            trail.open()
        except Refused:
            if slot == slots[-1]:
                raise
        else:
            return trail
    raise AssertionError("there is always a last slot")
