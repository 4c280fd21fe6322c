"""What commands print: tables and sentences for people, or JSON for programs.

Names come from strangers (tools, agents), so nothing they contain can move a cursor, colour a
line or be taken for markup. Results go to standard output, all else to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from safeconduct.core.printing import printable

if TYPE_CHECKING:
    from collections.abc import Callable

_WIDEST = 72


class Out:
    """Prints the results of one command."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def sentence(self, text: str, **members: Any) -> None:
        """Print one sentence; as JSON, the members instead."""
        if self.as_json:
            self.value(members)
        else:
            self.line(text)

    def value(self, value: object) -> None:
        """Print a value as JSON."""
        sys.stdout.write(printable_json(value, indent=2) + "\n")

    def line(self, text: str) -> None:
        """Print one line for people."""
        sys.stdout.write(printable(text) + "\n")

    def flush(self) -> None:
        """Let whoever waits for the output have it now."""
        sys.stdout.flush()

    def rows(self, rows: Sequence[dict[str, Any]], *columns: str, nothing: str) -> None:
        """Print a table of the named members; as JSON, whole rows.

        Args:
            rows: What to print.
            columns: Members that become columns, in order.
            nothing: What to say instead of an empty table.
        """
        if self.as_json:
            self.value(list(rows))
        elif not rows:
            self.line(nothing)
        else:
            head = [column.replace("_", " ").upper() for column in columns]
            cells = [[_cell(row.get(column)) for column in columns] for row in rows]
            for text in _aligned([head, *cells]):
                sys.stdout.write(text + "\n")

    @contextmanager
    def progress(self, doing: str) -> Iterator[Callable[[str], None]]:
        """Show what takes long, on a terminal and nowhere else; yields what tells of news."""
        if self.as_json or not sys.stderr.isatty():
            yield lambda _: None
            return
        from rich.console import Console  # noqa: PLC0415  most commands need none of it
        from rich.markup import escape  # noqa: PLC0415  likewise

        with Console(stderr=True).status(escape(printable(doing))) as status:
            yield lambda news: status.update(escape(printable(f"{doing}: {news}")))


def warn(text: str) -> None:
    """Tell the user something that is not the result."""
    sys.stderr.write(f"Warning: {printable(text)}\n")


def complain(text: str) -> None:
    """Tell the user why nothing came of it."""
    for line in text.splitlines() or [""]:
        sys.stderr.write(f"{printable(line)}\n")


def several(count: int, noun: str) -> str:
    """Spell a number of things: `1 record`, `2 records`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def printable_json(value: object, *, indent: int | None = None) -> str:
    """Spell a value as JSON in ASCII that a terminal only shows."""
    return json.dumps(value, indent=indent, default=_spelled).replace("\x7f", "\\u007f")


def _aligned(rows: list[list[str]]) -> Iterator[str]:
    widths = [min(_WIDEST, max(map(len, column))) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _cell(value: object) -> str:
    match value:
        case None:
            text = "-"
        case bool():
            text = "yes" if value else "no"
        case list() | tuple():
            text = ", ".join(map(str, value)) or "-"
        case _:
            text = _spelled(value) or "-"
    text = printable(text)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _spelled(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return str(value)
