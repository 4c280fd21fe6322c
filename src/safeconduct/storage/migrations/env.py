"""Run by Alembic for every command: applies revisions on the connection it was given."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from safeconduct.storage.columns import UtcTime


def _render(kind: str, item: Any, _autogen: AutogenContext) -> str | Literal[False]:
    """Write an instant as the integer it is, so that history needs none of our classes."""
    return "sa.BigInteger()" if kind == "type" and isinstance(item, UtcTime) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=context.config.attributes.get("metadata"),
    render_item=_render,
)
with context.begin_transaction():
    context.run_migrations()
