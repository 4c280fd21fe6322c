"""Where servers and what they offer are kept: the tables, and what names one row of them.

`tools` holds tools and what an admin lets of them; `offers` everything else of a server that is
pinned: prompts, resource templates and its instructions. The columns about pins are the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import JSON, Boolean, Column, Integer, Select, String, Table, Text, select

from safeconduct.core.model import HostId, ServerKey
from safeconduct.storage import UtcTime, host_column, metadata

PINNED, CHANGED, NEW = "pinned", "changed", "new"
UNKNOWN = "unknown"  # of what no reading and no list showed; never stored
TOOL, PROMPT, TEMPLATE, INSTRUCTIONS = "tool", "prompt", "template", "instructions"
KINDS = (TOOL, PROMPT, TEMPLATE, INSTRUCTIONS)
LONGEST_NAME = 256
LONGEST_URI = 1024  # of a template: it is part of a key


def _pin_columns() -> tuple[Column[Any], ...]:
    """Return the columns that say what was reviewed and what is there instead.

    `definition` is the first accepted spelling and `spellings` all of them, None for one alone.
    `seen` holds the spellings of what waits, `witnessed` what the road has seen of it: while it
    is there, only an operator ends the wait. `refused` is the digest an operator refused.
    """
    return (
        Column("definition", JSON, nullable=False),
        Column("spellings", JSON(none_as_null=True)),
        Column("pins", JSON, nullable=False),
        Column("seen", JSON(none_as_null=True)),
        Column("seen_pins", JSON(none_as_null=True)),
        Column("witnessed", JSON(none_as_null=True)),
        Column("refused", String(64)),
        Column("state", String(16), nullable=False),
    )


servers = Table(
    "servers",
    metadata,
    host_column(),
    Column("key", String(63), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("url", String(2048), nullable=False),
    Column("description", Text, nullable=False),
    Column("eras", JSON, nullable=False),
    Column("kinds", JSON(none_as_null=True)),
    Column("wanted", JSON),
    Column("overrides", JSON, nullable=False),
    Column("resources", JSON, nullable=False),
    Column("http", JSON),
    Column("arguments", String(8)),
    Column("results", String(8)),
    Column("checked_at", UtcTime),
    Column("problem", Text),
    Column("omissions", JSON(none_as_null=True)),
)
tools = Table(
    "tools",
    metadata,
    host_column(),
    Column("server", String(63), primary_key=True),
    Column("name", String(LONGEST_NAME), primary_key=True),
    *_pin_columns(),
    Column("level", Integer, nullable=False),
    Column("because", String(200), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("spoken", JSON(none_as_null=True)),
)
offers = Table(
    "offers",
    metadata,
    host_column(),
    Column("server", String(63), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("name", String(LONGEST_URI), primary_key=True),
    *_pin_columns(),
)


class Place(NamedTuple):
    """Where one kind of offers of one server is kept."""

    host: HostId
    server: ServerKey
    kind: str

    @property
    def table(self) -> Table:
        return tools if self.kind == TOOL else offers

    def where(self, name: str | None = None) -> tuple[Any, ...]:
        """Return the conditions for its rows, or for the one of a name."""
        columns = self.table.c
        found = [columns.host == self.host, columns.server == self.server]
        if self.kind != TOOL:
            found.append(columns.kind == self.kind)
        if name is not None:
            found.append(columns.name == name)
        return tuple(found)

    def rows(self) -> Select[Any]:
        return select(self.table).where(*self.where()).order_by(self.table.c.name)

    def row(self, name: str) -> Select[Any]:
        return select(self.table).where(*self.where(name))

    def key(self, name: str) -> dict[str, str]:
        """Return the values of a new row's key."""
        found = {"host": self.host, "server": self.server, "name": name}
        return found if self.kind == TOOL else {**found, "kind": self.kind}
