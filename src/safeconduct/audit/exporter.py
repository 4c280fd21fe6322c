"""The trail for other programs: the lines as they are, or a table for a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, BinaryIO, Literal, Unpack

from safeconduct.audit.event import Event
from safeconduct.audit.reader import Filters, entries
from safeconduct.core.printing import spelled

# What makes a spreadsheet take a cell for a formula, in the widths it accepts.
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20|%")


def export(
    directory: Path,
    out: BinaryIO,
    fmt: Literal["jsonl", "csv"] = "jsonl",
    *,
    limit: int | None = None,
    **filters: Unpack[Filters],
) -> int:
    r"""Write the records that fit, in order of time, and return how many.

    As `jsonl` the lines are exactly the trail's own, so each can still be checked against
    its hash. As `csv` objects and lists are JSON in their cell, what is not seen is spelled
    like `\u001b`, and text that a spreadsheet would run as a formula has an apostrophe before it.
    """
    if fmt == "csv":
        return _table(directory, out, limit, filters)
    count = 0
    for line, _ in entries(directory, limit=limit, **filters):
        out.write(line)
        count += 1
    return count


def columns() -> tuple[str, ...]:
    """Name the columns of the table: the record's own members around the event's."""
    return ("id", "ts", *Event.__struct_fields__, "chain", "n", "prev", "hash")


def _table(directory: Path, out: BinaryIO, limit: int | None, filters: Filters) -> int:
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    count = 0
    try:
        writer = csv.writer(text, quoting=csv.QUOTE_ALL)
        writer.writerow(columns())
        for _, record in entries(directory, limit=limit, **filters):
            writer.writerow([_cell(record.get(name)) for name in columns()])
            count += 1
    finally:
        text.detach()  # the file belongs to the caller, who closes it
    return count


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            text = spelled(value)
            return f"'{text}" if _runs(text) else text
        case _:
            return spelled(json.dumps(value, ensure_ascii=False))


def _runs(text: str) -> bool:
    return text.lstrip().startswith(_FORMULA)
