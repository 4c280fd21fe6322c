"""Where bundles are kept, and the log of which one was in force when: who, what, why.

A bundle is stored under the name of its content and signed for its host. Activating appends a
row here and changes one in `hosts`, in the same transaction; nothing here is ever changed or
removed, but for a stored copy that does not verify any more.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Row

from safeconduct.core.model import HostId, Value
from safeconduct.policy.content import OwnRules
from safeconduct.policy.rego import BundleError
from safeconduct.policy.signing import Signer
from safeconduct.storage import Read, UtcTime, Write, host_column, metadata

# The bundle of a host whose repository was never read: there is none, so nothing is allowed.
PENDING = "pending"

Kind = Literal["applied", "fetched", "put", "rolled_back", "removed"]

_bundles = Table(
    "bundles",
    metadata,
    host_column(),
    Column("digest", String(64), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("signature", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("version", BigInteger, nullable=True),
    Column("made_at", UtcTime, nullable=False),
)
_activations = Table(
    "activations",
    metadata,
    host_column(),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("decides_as", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("by", String(200), nullable=False),
    Column("because", Text, nullable=False),
)


class Stored(Value, frozen=True):
    """A bundle in the store, verified.

    Attributes:
        source: `directory NAME`, a repository's URL with `@` and the commit, or who put it.
        version: What its author numbered it, where authors sign.
    """

    digest: str
    rules: OwnRules
    source: str
    version: int | None
    made_at: datetime


class Activation(Value, frozen=True):
    """One change of what decides for a host.

    Attributes:
        digest: The bundle in force since then; "" is the built-in rules alone.
        previous: The one before.
        decides_as: How decisions name it: with the built-in rules of that time.
        kind: What brought it about.
        by: Who wanted it.
        because: Why, in words.
    """

    number: int
    digest: str
    previous: str
    decides_as: str
    kind: Kind
    at: datetime
    by: str
    because: str


async def keep(
    tx: Write,
    host: HostId,
    rules: OwnRules,
    *,
    signer: Signer,
    source: str,
    version: int | None,
    at: datetime,
) -> None:
    """Store a bundle; one that is there already is left alone, or mended if it was altered."""
    mine = (_bundles.c.host == host) & (_bundles.c.digest == rules.digest)
    row = await tx.one_or_none(select(_bundles).where(mine))
    signed = {"content": rules.content, "signature": signer.sign(host, rules.digest)}
    if row is None:
        about = {"source": source, "version": version, "made_at": at}
        key = {"host": host, "digest": rules.digest}
        await tx.execute(insert(_bundles).values(**key, **signed, **about))
        return
    later = max(filter(None, (row.version, version)), default=None)
    await tx.execute(update(_bundles).where(mine).values(**signed, version=later))


async def load(tx: Read, host: HostId, digest: str, *, signer: Signer) -> Stored:
    """Return a bundle of a host.

    Raises:
        BundleError: If it is not there, or is not what this installation stored.
    """
    row = await tx.one_or_none(
        select(_bundles).where(_bundles.c.host == host, _bundles.c.digest == digest)
    )
    if row is None:
        raise BundleError("it is not stored")
    if not isinstance(row.content, bytes) or not isinstance(row.signature, str):
        raise BundleError("it is not what was signed")  # SQLite keeps whatever it is given
    signer.verify(host, digest, row.content, row.signature)
    return Stored(
        digest=digest,
        rules=OwnRules.read(row.content),
        source=row.source,
        version=row.version,
        made_at=row.made_at,
    )


async def beginning_with(tx: Read, host: HostId, start: str) -> list[str]:
    """Return the names of a host's bundles that begin like this."""
    statement = select(_bundles.c.digest).where(
        _bundles.c.host == host, _bundles.c.digest.startswith(start, autoescape=True)
    )
    return [row.digest for row in await tx.all(statement)]


async def newest_version(tx: Read, host: HostId) -> tuple[int, str] | None:
    """Return the highest version a host ever took, with the name of that bundle."""
    row = await tx.one_or_none(
        select(_bundles.c.version, _bundles.c.digest)
        .where(_bundles.c.host == host, _bundles.c.version.is_not(None))
        .order_by(_bundles.c.version.desc())
        .limit(1)
    )
    return None if row is None else (row.version, row.digest)


async def note(
    tx: Write,
    host: HostId,
    *,
    digest: str,
    previous: str,
    decides_as: str,
    kind: Kind,
    at: datetime,
    by: str,
    because: str,
) -> None:
    """Append to the log. The caller changes the host in the same transaction."""
    last = await tx.scalar(
        select(func.coalesce(func.max(_activations.c.number), 0)).where(_activations.c.host == host)
    )
    await tx.execute(
        insert(_activations).values(
            host=host,
            number=last + 1,
            digest=digest,
            previous=previous,
            decides_as=decides_as,
            kind=kind,
            at=at,
            by=by,
            because=because,
        )
    )


async def history(
    tx: Read,
    host: HostId,
    *,
    until: datetime | None = None,
    before: int | None = None,
    most: int | None = None,
) -> list[Activation]:
    """Return a host's activations, the newest first.

    Args:
        tx: The transaction.
        host: The tenant.
        until: Only those up to this instant; the first is what was in force then.
        before: Only those before the one of this number.
        most: How many.
    """
    statement = select(_activations).where(_activations.c.host == host)
    if until is not None:
        statement = statement.where(_activations.c.at <= until)
    if before is not None:
        statement = statement.where(_activations.c.number < before)
    newest_first = statement.order_by(_activations.c.number.desc())
    return [_activation(row) for row in await tx.all(newest_first.limit(most))]


def _activation(row: Row[Any]) -> Activation:
    return Activation(
        number=row.number,
        digest=row.digest,
        previous=row.previous,
        decides_as=row.decides_as,
        kind=row.kind,
        at=row.at,
        by=row.by,
        because=row.because,
    )


def rolled_back(newest_first: list[Activation]) -> frozenset[str]:
    """Return the bundles that operators last went back from.

    A source that offers one of them again is not followed: it has nothing newer to say.
    """
    found = set()
    for activation in newest_first:
        if activation.kind != "rolled_back":
            break
        found.add(activation.previous)
    return frozenset(found)


def before_now(newest_first: list[Activation]) -> str | None:
    """Return the bundle before the one in force; going back twice goes back two.

    None when there is nothing to go back to.
    """
    if not newest_first:
        return None
    now = newest_first[0].digest
    for activation in newest_first:
        if activation.kind != "rolled_back" and activation.digest == now:
            return activation.previous or None
    return None
