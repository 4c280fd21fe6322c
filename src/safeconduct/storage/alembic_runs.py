"""Runs Alembic over `migrations/versions`; imported where there is something to apply alone."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def history(**attributes: Any) -> Config:
    """Return Alembic's configuration; the attributes are handed to `migrations/env.py`."""
    config = Config(attributes=attributes)
    config.set_main_option("script_location", str(files("safeconduct.storage") / "migrations"))
    return config


def upgrade(connection: Connection) -> None:
    """Apply what is missing, in the transaction the connection is in."""
    command.upgrade(history(connection=connection), "head")
