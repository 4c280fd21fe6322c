"""An installation without a gateway: real store, real trail, servers that answer from memory."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from safeconduct import consent as consents
from safeconduct import people, sessions
from safeconduct.app.provision import Provisioner
from safeconduct.audit import Trail, read
from safeconduct.consent import Consent
from safeconduct.core.clock import ManualClock
from safeconduct.core.model import (
    ClientId,
    ConsentId,
    HostId,
    Level,
    ServerKey,
    SessionId,
    SubjectId,
)
from safeconduct.oauth import Clients
from safeconduct.policy import Signer
from safeconduct.relations import Ceilings
from safeconduct.sessions import Session
from safeconduct.settings import Settings, parse
from safeconduct.signin import Passwords
from safeconduct.storage import Database, Epoch, Feed
from safeconduct.upstreams import Catalogue, CrawlFailed, Credentials, Findings, Manner
from tests.fixtures.keys import ROOT_KEY
from tests.fixtures.tables import with_tables

ACME = HostId("acme")
SECRETS = {
    "ALICE": "alice-correct-horse",
    "ALICE_LATER": "alice-battery-staple",
    "ROOT": "root-correct-horse",
    "CI": "ci-client-correct-horse",
    "CI_LATER": "ci-client-battery-staple",
    "MESH": "mesh-correct-horse-battery",
    "MESH_LATER": "mesh-battery-staple-horse",
}
BASE = """\
server: {allow_loopback_upstreams: true, data_dir: data}
hosts:
  - key: acme
    origin: http://localhost:8420
    people:
      - email: alice@acme.test
        name: Alice
        password: {env: ALICE}
        groups: [engineering]
        attributes: {clearance: confidential-value}
      - {email: bob@acme.test, name: Bob, groups: [sales]}
    operators:
      - {email: root@acme.test, role: owner, password: {env: ROOT}}
    servers:
      - {key: tickets, name: Tickets, url: "http://127.0.0.1:9001/mcp?key=in-the-url"}
      - {key: chat, name: Chat, url: "http://127.0.0.1:9002/mcp"}
    access:
      - {person: alice@acme.test, server: tickets, ceiling: medium}
      - {group: sales, server: chat, ceiling: low}
    relations: ["ticket:T-7#assignee@user:alice@acme.test"]
    clients:
      - {id: ci, name: CI, redirect_uris: ["http://localhost/cb"], secret: {env: CI}}
    enforcement_points:
      - {id: mesh, secret: {env: MESH}}
"""


def a_tool(name: str, description: str = "A tool.") -> dict[str, Any]:
    return {"name": name, "description": description, "inputSchema": {"type": "object"}}


class Upstreams:
    """Answers as the crawler does, from memory; an address it does not know is down."""

    def __init__(self) -> None:
        self.tools: dict[str, list[dict[str, Any]]] = {
            "http://127.0.0.1:9001/mcp?key=in-the-url": [
                a_tool("get_issue"),
                a_tool("create_issue"),
                a_tool("delete_issue"),
            ],
            "http://127.0.0.1:9002/mcp": [a_tool("list_channels")],
        }
        self.read: list[str] = []

    async def crawl(self, url: str, _manner: Manner | None = None) -> Findings:
        self.read.append(url)
        if url not in self.tools:
            raise CrawlFailed("it does not answer")
        return Findings(eras=("legacy",), spellings=[self.tools[url]])


class NoDocuments:
    """There is no internet here."""

    async def get_json(self, url: str) -> Any:
        raise AssertionError("no test here fetches documents")


class World:
    """What the tests look at."""

    def __init__(self, directory: Path, database: Database, feed: Feed, clock: ManualClock) -> None:
        self.directory = directory
        self.database = database
        self.feed = feed
        self.clock = clock
        self.upstreams = Upstreams()
        self.trail = Trail(directory / "audit", clock=clock, root_key=ROOT_KEY)
        self.passwords = Passwords()
        self.catalogue = Catalogue(database, feed)
        self.ceilings = Ceilings(database, feed)
        self.clients = Clients(database, feed, clock=clock, fetcher=NoDocuments(), pinned={})
        self.signer = Signer(b"k" * 32)
        self.provisioner = Provisioner(
            database,
            clock=clock,
            trail=self.trail,
            passwords=self.passwords,
            crawler=self.upstreams,  # type: ignore[arg-type]  an honest fake
            catalogue=self.catalogue,
            clients=self.clients,
            signer=self.signer,
            credentials=Credentials(b"k" * 32),
        )

    def settings(self, text: str = BASE) -> Settings:
        return parse(text, base=self.directory, environ={**os.environ, **SECRETS})

    def records(self, kind: str | None = None) -> list[dict[str, Any]]:
        return list(read(self.directory / "audit", kind=kind))

    async def subject(self, email: str) -> SubjectId:
        async with self.database.read() as tx:
            found = await people.by_email(tx, ACME, email)
        assert found is not None
        return found[0].id

    async def connected(self, email: str, server: str, *, client: str = "agent") -> SessionId:
        """Give a person's agent a live session under a consent."""
        subject = await self.subject(email)
        now = self.clock.now()
        session = SessionId(f"ses-{email}-{server}-{client}")
        async with self.database.write() as tx:
            await consents.grant(
                tx,
                Consent(
                    host=ACME,
                    subject=subject,
                    client=ClientId(client),
                    server=ServerKey(server),
                    id=ConsentId(f"con-{email}-{server}-{client}"),
                    level=Level.LOW,
                    granted_at=now,
                    expires_at=now + timedelta(days=30),
                    redirect_uri="http://localhost/cb",
                    client_digest="d",
                ),
            )
            await sessions.open_session(
                tx,
                Session(
                    host=ACME,
                    id=session,
                    subject=subject,
                    client=ClientId(client),
                    server=ServerKey(server),
                    opened_at=now,
                    used_at=now,
                    ends_at=now + timedelta(days=90),
                    idle_seconds=86_400,
                ),
            )
        return session

    async def live(self) -> set[SessionId]:
        async with self.database.read() as tx:
            return {each.id for each in await sessions.live(tx, ACME, at=self.clock.now())}

    async def standing(self) -> set[str]:
        """Return the ids of the consents that nobody has ended."""
        async with self.database.read() as tx:
            return {each.id for each in await consents.every(tx, ACME) if each.ended_at is None}


@asynccontextmanager
async def a_world(directory: Path) -> AsyncIterator[World]:
    clock = ManualClock()
    epoch = Epoch(directory / "epoch")
    feed = Feed(epoch)
    database = Database(f"sqlite+aiosqlite:///{directory}/t.db", feed=feed, clock=clock)
    await with_tables(database)
    await feed.start(database)
    world = World(directory, database, feed, clock)
    world.trail.open()
    try:
        yield world
    finally:
        world.trail.close()
        await database.close()
        epoch.close()
