from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from safeconduct.audit import Trail, export
from safeconduct.core.model import HostId
from tests.audit.events import call, only_segment


def table(directory: Path) -> list[dict[str, str]]:
    out = io.BytesIO()
    export(directory, out, "csv")
    return list(csv.DictReader(io.StringIO(out.getvalue().decode(), newline="")))


def test_exported_lines_are_the_trails_own(trail: Trail, directory: Path) -> None:
    for number in range(3):
        trail.append(call(number))
    out = io.BytesIO()

    assert export(directory, out) == 3
    assert out.getvalue() == only_segment(directory).read_bytes()


@pytest.mark.requirement("L-19")
@pytest.mark.parametrize("fmt", ["jsonl", "csv"])
def test_an_export_of_a_host_holds_nothing_of_another(
    trail: Trail, directory: Path, fmt: str
) -> None:
    trail.append(call(1, host="acme"))
    trail.append(call(2, host="other"))
    out = io.BytesIO()

    assert export(directory, out, fmt, host=HostId("acme")) == 1  # type: ignore[arg-type]  # parametrised
    assert b"search_1" in out.getvalue()
    assert b"search_2" not in out.getvalue()


@pytest.mark.parametrize(
    "formula",
    [
        "=1+1",
        "+1",
        "-1+cmd|' /C calc'!A0",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "\tcell",
        "  =1",
        "\uff1d1",
        "%0A=1",
    ],
)
def test_a_cell_cannot_be_a_formula(trail: Trail, directory: Path, formula: str) -> None:
    trail.append(call(1, user_agent=formula, arguments={formula: formula}))

    (row,) = table(directory)
    seen = formula.replace("\t", r"\u0009").replace("\r", r"\u000d").replace("\n", r"\u000a")
    assert row["user_agent"] == (seen if seen.startswith("\\") else "'" + seen)
    assert row["arguments"].startswith("{")


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b]0;owned\x07\x1b[31m", r"\u001b]0;owned\u0007\u001b[31m"),
        ("\x9b31m\x7f\x00", r"\u009b31m\u007f\u0000"),
        ("invoice\u202egpj.exe", r"invoice\u202egpj.exe"),
        ("one\r\ntwo\u2028three", r"one\u000d\u000atwo\u2028three"),
        ("\u200b=1+1", r"\u200b=1+1"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_is_not_seen_is_spelled_in_every_cell(
    trail: Trail, directory: Path, hostile: str, shown: str
) -> None:
    trail.append(call(1, user_agent=hostile, detail={hostile: [hostile]}))

    (row,) = table(directory)
    assert row["user_agent"] == shown
    out = io.BytesIO()
    export(directory, out, "csv")
    text = out.getvalue().decode()
    assert all(each.isprintable() or each in "\r\n" for each in text)
    assert text.count("\n") == 2


def test_harmless_cells_are_as_they_were(trail: Trail, directory: Path) -> None:
    trail.append(
        call(1, user_agent='a "b", c; d=e', ms=1.5, rules=("x", "y"), facts={"level": "\u00fc"})
    )

    (row,) = table(directory)
    assert row["user_agent"] == 'a "b", c; d=e'
    assert (row["ms"], row["rules"], row["facts"]) == ("1.5", '["x", "y"]', '{"level": "\u00fc"}')
    assert row["reason"] == ""
    assert len(row["hash"]) == 64


def test_the_callers_file_stays_open(trail: Trail, directory: Path) -> None:
    trail.append(call(1))
    out = io.BytesIO()
    export(directory, out, "csv")

    out.write(b"more")
    assert out.getvalue().endswith(b"\r\nmore")
