"""The built-in rules of every version that decided here, kept by their digest.

A record of a decision names the built-in rules and the host's own together. A new version of the
program brings others, and what the earlier ones said has to be explained by them. What is kept
decides nothing, and is only believed where its digest is the one that it is kept under.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import msgspec
from sqlalchemy import Column, LargeBinary, String, Table, insert, select
from sqlalchemy.exc import IntegrityError

from safeconduct.core.canonical import canonical_bytes
from safeconduct.core.clock import Clock
from safeconduct.policy.bundle import Bundle
from safeconduct.policy.content import OwnRules
from safeconduct.policy.rego import Modules
from safeconduct.storage import Database, Read, UtcTime, metadata

_built_in = Table(
    "built_in_rules",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("kept_at", UtcTime, nullable=False),
)


async def keep_built_in(database: Database, rules: Bundle, *, clock: Clock) -> None:
    """Keep the rules that come with the program, before they decide for the first time."""
    async with database.read() as tx:
        known = select(_built_in.c.digest).where(_built_in.c.digest == rules.digest)
        if await tx.scalar(known) is not None:
            return
    row = {"digest": rules.digest, "content": canonical_bytes(rules.modules)}
    with suppress(IntegrityError):  # another worker kept the same first
        async with database.write() as tx:
            await tx.execute(insert(_built_in).values(**row, kept_at=clock.now()))


async def kept_built_in(tx: Read) -> list[Bundle]:
    """Return the built-in rules of every version, the latest first."""
    rows = await tx.all(select(_built_in).order_by(_built_in.c.kept_at.desc()))
    found = [(row.digest, _read(row.content)) for row in rows]
    return [rules for digest, rules in found if rules is not None and rules.digest == digest]


def bundle_named(digest: str, own: OwnRules, built_in: Iterable[Bundle]) -> Bundle | None:
    """Return the bundle that decisions name so, if it is made of these and some of those."""
    return next((each for each in map(own.upon, built_in) if each.digest == digest), None)


def _read(content: object) -> Bundle | None:
    if not isinstance(content, bytes):
        return None  # SQLite keeps whatever it is given
    try:
        return Bundle.of(modules=msgspec.json.decode(content, type=Modules), data={})
    except msgspec.MsgspecError:
        return None
