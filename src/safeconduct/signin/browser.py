"""Browser sessions: a random handle in a cookie, its digest in a row, an end in sight.

A session is opened only by signing in, under a new handle (nobody can fix one in advance),
rests at most 12 hours, lives at most 7 days, and ends on the server when it is signed out.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Column, String, Table, delete, insert, select, update
from sqlalchemy.engine import Row

from safeconduct.core.clock import Clock
from safeconduct.core.model import HostId, SubjectId, Value
from safeconduct.core.secrets import Secret, digest, mint
from safeconduct.storage import Database, UtcTime, Write, host_column, metadata

# "__Host-" (RFC 6265bis section 4.1.3.2): Secure, Path=/ and no Domain, or browsers refuse it.
SESSION_COOKIE = "__Host-safeconduct"
FORM_COOKIE = "__Host-safeconduct-form"

IDLE = timedelta(hours=12)
ABSOLUTE = timedelta(days=7)
_USE_IS_WRITTEN_EVERY = timedelta(minutes=5)
_LONGEST_HANDLE = 200

_browser_sessions = Table(
    "browser_sessions",
    metadata,
    host_column(),
    Column("digest", String(64), primary_key=True),
    Column("subject", String(64), nullable=False, index=True),
    Column("opened_at", UtcTime, nullable=False),
    Column("used_at", UtcTime, nullable=False),
    Column("ends_at", UtcTime, nullable=False, index=True),
)


class BrowserSession(Value, frozen=True):
    """A signed-in browser. `id` is the digest of the handle, and names it elsewhere."""

    host: HostId
    id: str
    subject: SubjectId


class BrowserSessions:
    """Opens, finds and ends browser sessions."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def open(self, tx: Write, host: HostId, subject: SubjectId) -> Secret:
        """Open a session and return its handle; also forgets sessions that ran out."""
        now = self._clock.now()
        handle = mint("sc_bs")
        await tx.execute(
            delete(_browser_sessions).where(
                _browser_sessions.c.host == host, _browser_sessions.c.ends_at <= now
            )
        )
        await tx.execute(
            insert(_browser_sessions).values(
                host=host,
                digest=digest(handle.reveal()),
                subject=subject,
                opened_at=now,
                used_at=now,
                ends_at=now + ABSOLUTE,
            )
        )
        return handle

    async def find(self, host: HostId, handle: str | None) -> BrowserSession | None:
        """Return the live session of a cookie, or None, and note that it was used."""
        if not handle or len(handle) > _LONGEST_HANDLE:
            return None
        now = self._clock.now()
        key = digest(handle)
        async with self._database.read() as tx:
            row = await tx.one_or_none(
                select(_browser_sessions).where(
                    _browser_sessions.c.host == host,
                    _browser_sessions.c.digest == key,
                    _browser_sessions.c.ends_at > now,
                    _browser_sessions.c.used_at > now - IDLE,
                )
            )
        if row is None:
            return None
        if now - row.used_at > _USE_IS_WRITTEN_EVERY:
            await self._note_use(host, key)
        return _session(row)

    async def end(self, tx: Write, session: BrowserSession) -> None:
        """End one session; its cookie is worth nothing from the commit on."""
        await tx.execute(
            delete(_browser_sessions).where(
                _browser_sessions.c.host == session.host, _browser_sessions.c.digest == session.id
            )
        )

    async def end_all(self, tx: Write, host: HostId, subject: SubjectId) -> None:
        """End every session of a person, wherever they are signed in."""
        await tx.execute(
            delete(_browser_sessions).where(
                _browser_sessions.c.host == host, _browser_sessions.c.subject == subject
            )
        )

    async def _note_use(self, host: HostId, key: str) -> None:
        async with self._database.write() as tx:
            await tx.execute(
                update(_browser_sessions)
                .where(_browser_sessions.c.host == host, _browser_sessions.c.digest == key)
                .values(used_at=self._clock.now())
            )


def _session(row: Row[Any]) -> BrowserSession:
    return BrowserSession(host=HostId(row.host), id=row.digest, subject=SubjectId(row.subject))
