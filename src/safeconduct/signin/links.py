"""Mailed links: proof that somebody reads the mail of an address. Single use, 30 minutes.

Only digests are stored. Opening a link does not use it up, since mail scanners open links;
using it is one atomic update, so of two people who click at once one is too late.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from sqlalchemy import Column, String, Table, delete, insert, select, update

from safeconduct.core.model import HostId
from safeconduct.core.secrets import Secret, digest, mint
from safeconduct.storage import Read, UtcTime, Write, host_column, metadata

LIFE = timedelta(minutes=30)

_mail_links = Table(
    "mail_links",
    metadata,
    host_column(),
    Column("digest", String(64), primary_key=True),
    Column("purpose", String(16), nullable=False),
    Column("email", String(320), nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("used_at", UtcTime),
)


class Purpose(Enum):
    """What a link lets its reader do; a link for one purpose is nothing for another."""

    RESET = "reset"
    SIGN_UP = "sign_up"


async def issue(tx: Write, host: HostId, purpose: Purpose, *, email: str, at: datetime) -> Secret:
    """Make a link's token for an address.

    Earlier ones keep working, or whoever asks often enough could keep the owner's from it.
    """
    token = mint("sc_ml")
    await tx.execute(
        delete(_mail_links).where(_mail_links.c.host == host, _mail_links.c.expires_at <= at)
    )
    await tx.execute(
        insert(_mail_links).values(
            host=host,
            digest=digest(token.reveal()),
            purpose=purpose.value,
            email=email,
            expires_at=at + LIFE,
        )
    )
    return token


async def address_of(
    tx: Read, host: HostId, purpose: Purpose, *, token: str, at: datetime
) -> str | None:
    """Return the address a usable link was mailed to; looking does not use it."""
    row = await tx.one_or_none(
        select(_mail_links.c.email).where(
            _mail_links.c.host == host,
            _mail_links.c.digest == digest(token),
            _mail_links.c.purpose == purpose.value,
            _mail_links.c.expires_at > at,
            _mail_links.c.used_at.is_(None),
        )
    )
    return None if row is None else str(row.email)


async def use(tx: Write, host: HostId, purpose: Purpose, *, token: str, at: datetime) -> str | None:
    """Use a link up and return its address, or None if it cannot be used (any more).

    The others of its kind for that address go with it.
    """
    email = await address_of(tx, host, purpose, token=token, at=at)
    used = await tx.execute(
        update(_mail_links)
        .where(
            _mail_links.c.host == host,
            _mail_links.c.digest == digest(token),
            _mail_links.c.purpose == purpose.value,
            _mail_links.c.expires_at > at,
            _mail_links.c.used_at.is_(None),
        )
        .values(used_at=at)
    )
    if not used or email is None:
        return None
    await tx.execute(
        update(_mail_links)
        .where(
            _mail_links.c.host == host,
            _mail_links.c.email == email,
            _mail_links.c.purpose == purpose.value,
            _mail_links.c.used_at.is_(None),
        )
        .values(used_at=at)
    )
    return email
