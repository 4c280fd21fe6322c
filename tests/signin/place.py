"""A host with people, a database, a trail and a mail server: the real ones, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

from safeconduct import hosts, people
from safeconduct.audit import Trail, read
from safeconduct.core.clock import ManualClock
from safeconduct.core.model import HostId, SubjectId
from safeconduct.egress import Mailer
from safeconduct.hosts import Host, Policies, SignInPolicy
from safeconduct.signin import Attempts, BrowserSessions, Local, Passwords, Recovery, Visitor
from safeconduct.storage import Database, Epoch, Feed
from tests.fixtures.keys import ROOT_KEY
from tests.fixtures.tables import with_tables

PASSWORD = "correct horse battery"
HERE = Visitor(ip="203.0.113.7", user_agent="Test/1")
ELSEWHERE = Visitor(ip="198.51.100.9", user_agent="Test/2")


class Postbox:
    """Takes mail over SMTP, and lets a test wait for it."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[Message] = asyncio.Queue()

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802  aiosmtpd's name
        message = message_from_bytes(envelope.content)
        self.arrived.put_nowait(message)
        return "250 OK"

    async def next(self) -> Message:
        return await asyncio.wait_for(self.arrived.get(), 10)


def link_in(message: Message) -> str:
    """Return path and query of the first link in a mail."""
    text = message.get_payload(decode=True)
    assert isinstance(text, bytes)
    found = re.search(rb"https?://[^/\s]+(/login/\S+)", text)
    assert found is not None, text
    return found[1].decode()


@dataclass
class Place:
    """Everything signing in needs."""

    directory: Path
    clock: ManualClock
    database: Database
    feed: Feed
    trail: Trail
    passwords: Passwords
    browsers: BrowserSessions
    attempts: Attempts
    local: Local
    recovery: Recovery
    postbox: Postbox
    host: Host
    other: Host
    alice: SubjectId

    def recorded(self) -> list[dict[str, Any]]:
        """Return every audit record so far."""
        return list(read(self.directory / "audit"))


@contextlib.asynccontextmanager
async def open_place(
    directory: Path, *, origin: str = "https://acme.example", policy: SignInPolicy | None = None
) -> AsyncIterator[Place]:
    clock = ManualClock()
    feed = Feed(Epoch(directory / "epoch"))
    database = Database(f"sqlite+aiosqlite:///{directory}/t.db", feed=feed, clock=clock)
    trail = Trail(directory / "audit", clock=clock, root_key=ROOT_KEY)
    postbox = Postbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(postbox, loop=loop, hostname="mail.test"), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    await with_tables(database)
    await feed.start(database)
    trail.open()
    host = Host(
        key=HostId("acme"),
        name="Acme",
        origin=origin,
        policies=Policies(sign_in=policy or SignInPolicy()),
    )
    other = Host(
        key=HostId("other"), name="Other", origin="https://other.example", policies=Policies()
    )
    passwords = Passwords()
    browsers = BrowserSessions(database=database, clock=clock)
    attempts = Attempts(clock=clock)
    mailer = Mailer(host="127.0.0.1", port=port, sender="gateway@acme.example", security="none")
    shared: dict[str, Any] = {
        "database": database,
        "passwords": passwords,
        "browsers": browsers,
        "trail": trail,
        "clock": clock,
    }
    local = Local(attempts=attempts, **shared)
    recovery = Recovery(attempts=attempts, mailer=mailer, **shared)
    hashed = await passwords.hash(PASSWORD)
    async with database.write() as tx:
        await hosts.save(tx, host)
        await hosts.save(tx, other)
        alice = await people.create(
            tx,
            host.key,
            email="alice@acme.test",
            name="Alice",
            at=clock.now(),
            password_hash=hashed,
        )
        for email in ("bob@acme.test", "carol@acme.test"):
            person = await people.create(
                tx, host.key, email=email, name=email[:3], at=clock.now(), password_hash=hashed
            )
        await people.set_active(tx, host.key, person.id, active=False)
        await people.create(tx, host.key, email="new@acme.test", name="New", at=clock.now())
    try:
        yield Place(
            directory=directory,
            clock=clock,
            database=database,
            feed=feed,
            trail=trail,
            passwords=passwords,
            browsers=browsers,
            attempts=attempts,
            local=local,
            recovery=recovery,
            postbox=postbox,
            host=host,
            other=other,
            alice=alice.id,
        )
    finally:
        await recovery.aclose()
        server.close()
        await server.wait_closed()
        trail.close()
        await database.close()
