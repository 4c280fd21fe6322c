"""A copy of a SQLite database as it is now, made without a trace beside the original.

Reading a database in write-ahead mode makes files beside it, unless somebody has it open, who
made them already, or it is said to stay as it is.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

_PAGES = 4096  # at a time; between them writers have their turn


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database, whole and as of one moment, whoever writes to it meanwhile."""
    in_use = source.with_name(source.name + "-wal").exists()
    how = "mode=ro" if in_use else "immutable=1"
    with (
        contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?{how}", uri=True)) as old,
        contextlib.closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new, pages=_PAGES)
