"""Opens what a command works on: the file, the installation, one host of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from safeconduct.app import (
    Installation,
    Provisioner,
    check_place,
    declared,
    installed,
    look_at_installation,
    offered,
    open_installation,
)
from safeconduct.cli.failures import OURS, Failed
from safeconduct.cli.work.asking import Asked, settings_of, user
from safeconduct.core.model import HostId
from safeconduct.hosts import Host
from safeconduct.people import Person, by_email, every
from safeconduct.settings import Settings, suggestion
from safeconduct.storage import StorageError, StoreUnavailable

T = TypeVar("T")

_OTHER_NODES = "If another node made it, copy its master.key there first."


@dataclass(frozen=True, kw_only=True)
class Desk:
    """An open installation and the one host a command is about."""

    parts: Installation
    host: Host
    by: str

    async def person(self, email: str) -> Person:
        """Return the person of an address.

        Raises:
            Failed: If the host knows nobody of that address.
        """
        async with self.parts.database.read() as tx:
            found = await by_email(tx, self.host.key, email)
            known = [] if found else [each.email for each in await every(tx, self.host.key)]
        if found is None:
            near = suggestion(email, known)
            raise Failed(
                f"Host {self.host.key} knows nobody by that address{near or '.'} "
                "See who there is: safeconduct people list"
            )
        return found[0]


def run(work: Callable[[], Awaitable[T]]) -> T:
    """Run what waits for things, to its end.

    Raises:
        Failed: If the database does not answer.
    """

    async def running() -> T:
        return await work()

    try:
        return asyncio.run(running())
    except StoreUnavailable:
        raise  # it has a sentence of its own
    except StorageError as error:
        raise Failed(
            "The database does not answer or refuses. See: safeconduct doctor", exit_code=OURS
        ) from error


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Installation]:
    """Open the installation there is, beside a running gateway or without one.

    Raises:
        Failed: If there is none; only `apply` and `serve` make one, or change the schema of a
            database that others may use.
    """
    check_made(settings)
    async with open_installation(settings, upgrade=False) as parts:
        yield parts


async def check_unmade(settings: Settings) -> None:
    """Where nothing is there yet, judge the whole file before anything is made.

    Raises:
        GatewayError: If it cannot be applied.
    """
    check_place(settings.server.data_dir)
    if installed(settings.server):
        return
    if settings.server.database is None:
        async with look_at_installation(settings) as parts:
            await Provisioner.of(parts).plan(settings)
        return
    for host in settings.hosts:  # the database may have to be made first, so files are judged alone
        await offered(host)
        await declared(host)


def check_made(settings: Settings) -> None:
    """Go on only where an installation was made: looking for one must not make it.

    Raises:
        Failed: If there is none.
    """
    if installed(settings.server):
        return
    more = "" if settings.server.database is None else f" {_OTHER_NODES}"
    raise Failed(
        f"There is no installation in {settings.server.data_dir}, so there is nothing to look at "
        f"or to change. Make the one that the file describes: safeconduct apply, or serve.{more}"
    )


@asynccontextmanager
async def at_desk(asked: Asked) -> AsyncIterator[Desk]:
    """Open the installation and find the host.

    Raises:
        Failed: If there are several and none was named, or no such one.
    """
    async with opened(settings_of(asked.config)) as parts:
        yield Desk(parts=parts, host=chosen(parts.hosts.every(), asked.host), by=user())


def chosen(hosts: tuple[Host, ...], key: str | None) -> Host:
    """Return the host that was named, or the only one."""
    known = ", ".join(host.key for host in hosts)
    if not hosts:
        raise Failed("There is no host yet. Create what the file says: safeconduct apply")
    if key is None:
        if len(hosts) > 1:
            raise Failed(f"There are several hosts. Name one with --host: {known}")
        return hosts[0]
    found = next((host for host in hosts if host.key == HostId(key)), None)
    if found is None:
        raise Failed(f"There is no host {key}. There are: {known}")
    return found
