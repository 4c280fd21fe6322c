"""A smallest possible domain, for tests of transactions, the feed and views."""

from __future__ import annotations

from sqlalchemy import Column, MetaData, String, Table, insert, select, update

from safeconduct.storage import Change, Database, Feed, Read, View, Write

metadata = MetaData()
notes = Table(
    "notes",
    metadata,
    Column("host", String(63), primary_key=True),
    Column("key", String(63), primary_key=True),
    Column("text", String(63), nullable=False),
)


async def create(database: Database) -> None:
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)


async def put(tx: Write, key: str, text: str, *, host: str = "acme") -> None:
    mine = (notes.c.host == host, notes.c.key == key)
    if not await tx.execute(update(notes).where(*mine).values(text=text)):
        await tx.execute(insert(notes).values(host=host, key=key, text=text))
    tx.changed("note", host, key)


async def load(tx: Read, key: tuple[str, str]) -> str | None:
    statement = select(notes.c.text).where(notes.c.host == key[0], notes.c.key == key[1])
    found: str | None = await tx.scalar(statement)
    return found


def key_of(change: Change) -> tuple[str, str]:
    return change.host, change.key


def view(database: Database, feed: Feed, *, size: int = 50_000) -> View[tuple[str, str], str]:
    return View(database, feed, kind="note", load=load, keys=key_of, size=size)
