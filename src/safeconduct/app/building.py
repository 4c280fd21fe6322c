"""The composition root: plain values in, every part constructed once, in order of dependency.

Nothing is looked up at run time and nothing is created at import. `open_installation` gives
the parts that administration needs; `build` adds what answers requests.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from safeconduct.app.policies import HostPolicies
from safeconduct.audit import Trail
from safeconduct.consent import Consents
from safeconduct.core.clock import Clock, SystemClock
from safeconduct.core.errors import Code, Refused
from safeconduct.egress import Fetcher, Transport
from safeconduct.egress import Limits as TransportLimits
from safeconduct.hosts import Hosts
from safeconduct.oauth import Clients, Revocations
from safeconduct.people import People
from safeconduct.relations import (
    Backend,
    Ceilings,
    Editor,
    Embedded,
    Relations,
    SchemaOf,
    host_schema,
    spicedb,
)
from safeconduct.sessions import Sessions
from safeconduct.settings import ServerSettings, Settings
from safeconduct.signin import Passwords
from safeconduct.storage import Database, Epoch, Feed, Lease, migrate
from safeconduct.upstreams import Catalogue, Crawler

_KEY_BYTES = 32
_MOST_LOOKED_AT = 20_000  # candidates of one search in the relations: some tens of milliseconds
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
    database: Database
    lease: Lease
    trail: Trail
    hosts: Hosts
    people: People
    ceilings: Ceilings
    relations: Relations
    backend: Backend
    editor: Editor
    policies: HostPolicies
    consents: Consents
    sessions: Sessions
    catalogue: Catalogue
    fetcher: Fetcher
    clients: Clients
    passwords: Passwords
    transport: Transport
    crawler: Crawler
    revocations: Revocations


@contextlib.asynccontextmanager
async def open_installation(
    settings: Settings,
    *,
    clock: Clock | None = None,
    writer: str | None = None,
    fetcher: Fetcher | None = None,
) -> AsyncIterator[Installation]:
    """Open the store, bring it up to date, take a slot in the audit trail.

    Args:
        settings: The configuration file, read.
        clock: Tells the time; the machine's by default.
        writer: The audit trail's slot, or None for the first that is free.
        fetcher: Gets client metadata documents; guarded, from the internet, by default.
    """
    clock = clock or SystemClock()
    server = settings.server
    server.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with contextlib.AsyncExitStack() as stack:
        epoch = Epoch(server.data_dir / "epoch")
        stack.callback(epoch.close)
        feed = Feed(epoch)
        database = Database(_url(server), feed=feed, clock=clock)
        stack.push_async_callback(database.close)
        await migrate(database)
        await feed.start(database)
        trail = _trail(server, clock, writer)
        stack.callback(trail.close)
        transport = Transport(
            limits=TransportLimits(
                head_seconds=server.limits.upstream_head_seconds,
                idle_seconds=server.limits.upstream_idle_seconds,
            ),
            allow_loopback=server.allow_loopback_upstreams,
            allow_private=server.allow_private_upstreams,
        )
        stack.push_async_callback(transport.aclose)
        fetcher = fetcher or Fetcher()
        stack.push_async_callback(fetcher.aclose)
        hosts = Hosts(database, feed)
        await hosts.refresh()
        policies, relations = HostPolicies(hosts), Relations(database, feed)
        backend = await stack.enter_async_context(
            _backend(server, database, feed, clock, policies=policies, relations=relations)
        )
        yield Installation(
            settings=settings,
            clock=clock,
            root_key=root_key(server.data_dir),
            feed=feed,
            database=database,
            lease=Lease() if database.shared else Lease.endless(),
            trail=trail,
            hosts=hosts,
            people=People(database, feed),
            ceilings=Ceilings(database, feed),
            relations=relations,
            backend=backend,
            editor=Editor(database, trail=trail, clock=clock, schema_of=_schemas(policies)),
            policies=policies,
            consents=Consents(database, feed),
            sessions=Sessions(database, feed, clock=clock),
            catalogue=Catalogue(database, feed),
            fetcher=fetcher,
            clients=Clients(database, feed, clock=clock, fetcher=fetcher),
            passwords=Passwords(),
            transport=transport,
            crawler=Crawler(transport),
            revocations=Revocations(database, trail=trail, clock=clock),
        )


@contextlib.asynccontextmanager
async def _backend(
    server: ServerSettings,
    database: Database,
    feed: Feed,
    clock: Clock,
    *,
    policies: HostPolicies,
    relations: Relations,
) -> AsyncIterator[Backend]:
    said, schema_of = server.relations, _schemas(policies)
    if said.engine == "embedded":
        yield Embedded(relations, schema_of=schema_of, clock=clock, most=_MOST_LOOKED_AT)
        return
    # The settings make sure that both are there.
    async with spicedb(
        database,
        feed,
        target=str(said.target),
        token=said.token.reveal() if said.token else "",
        schema_of=schema_of,
        plaintext=said.plaintext,
    ) as backend:
        yield backend


def _schemas(policies: HostPolicies) -> SchemaOf:
    return lambda host: host_schema(policies.of(host).schema)


def root_key(data_dir: Path) -> bytes:
    """Return the installation's key, making it the first time; only its owner may read it.

    Raises:
        Refused: If the file does not hold exactly 32 bytes.
    """
    path = data_dir / "master.key"
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


def _url(server: ServerSettings) -> str:
    if server.database is None:
        path = server.data_dir / "safeconduct.db"
        # Made for its owner alone, whatever the directory's mode; SQLite's other files follow.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        return f"sqlite+aiosqlite:///{path}"
    url = server.database.reveal()
    scheme, _, rest = url.partition("://")
    driver = {"postgresql": "postgresql+psycopg", "sqlite": "sqlite+aiosqlite"}
    return f"{driver.get(scheme, scheme)}://{rest}"


def _trail(server: ServerSettings, clock: Clock, writer: str | None) -> Trail:
    slots = [writer] if writer is not None else [str(slot) for slot in range(_MOST_WRITERS)]
    for slot in slots:
        trail = Trail(
            server.data_dir / "audit", clock=clock, writer=slot, durability=server.durability
        )
        try:
            trail.open()
        except Refused:
            if slot == slots[-1]:
                raise
        else:
            return trail
    raise AssertionError("there is always a last slot")
