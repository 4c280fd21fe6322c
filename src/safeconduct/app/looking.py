"""Opens an installation to look at it: whatever is compared or tried, its files stay as they are.

What SQLite holds is copied to a directory that is gone afterwards, and what would be made there
(a database, a key, the trail of a command) is made there. PostgreSQL is only read, so its schema
has to be this version's.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from msgspec.structs import replace

from safeconduct.app.building import DATABASE_FILE, KEY_FILE, Installation, open_installation
from safeconduct.app.occupancy import check_place
from safeconduct.settings import ServerSettings, Settings
from safeconduct.storage import copy_sqlite


def installed(server: ServerSettings) -> bool:
    """Whether `apply` or `serve` ever made an installation for this data directory."""
    file = DATABASE_FILE if server.database is None else KEY_FILE
    return (server.data_dir / file).exists()


@contextlib.asynccontextmanager
async def look_at_installation(settings: Settings) -> AsyncIterator[Installation]:
    """Open what there is, or as it would be if nothing is there yet.

    Raises:
        Refused: If the key is lost, PostgreSQL would have to be brought up to date first, or
            nothing can be kept in the data directory.
    """
    check_place(settings.server.data_dir)
    with tempfile.TemporaryDirectory(prefix="safeconduct-plan-") as directory:
        server = settings.server
        copied = replace(server, data_dir=_copied(server, Path(directory)))
        async with open_installation(
            replace(settings, server=copied),
            key_dir=server.data_dir,
            upgrade=server.database is None,
        ) as parts:
            yield parts


def _copied(server: ServerSettings, directory: Path) -> Path:
    key, database = server.data_dir / KEY_FILE, server.data_dir / DATABASE_FILE
    if key.exists():
        shutil.copy(key, directory / KEY_FILE)
    if server.database is None and database.exists():
        copy_sqlite(database, directory / DATABASE_FILE)
    return directory
