"""The manifest and the tests agree: no row without a test or a reason, no test without a row."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.requirements import manifest

_TESTS = Path(__file__).parent


def named_in(source: str) -> set[str]:
    """Return the rows that marks in a file name: decorators, parameters, `pytestmark`."""
    return {row for node in ast.walk(ast.parse(source)) if _is_mark(node) for row in _texts(node)}


def _is_mark(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "requirement"
        and isinstance(node.func.value, ast.Attribute)
        and node.func.value.attr == "mark"
    )


def _texts(node: ast.AST) -> Iterator[str]:
    assert isinstance(node, ast.Call)
    for argument in node.args:
        assert isinstance(argument, ast.Constant), "name the rows in plain text"
        yield str(argument.value)


def _named() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted(_TESTS.rglob("*.py")):
        for row in named_in(path.read_text("utf-8")):
            found.setdefault(row, []).append(path.relative_to(_TESTS).as_posix())
    return found


def test_every_row_has_a_test_or_a_written_reason() -> None:
    named = _named()

    untested = [row for row, it in manifest().items() if not it.deferral and row not in named]

    assert untested == []


def test_every_row_a_test_names_is_in_the_manifest() -> None:
    rows = manifest()

    assert {row: where for row, where in _named().items() if row not in rows} == {}


def test_no_row_is_both_tested_and_deferred() -> None:
    rows = manifest()

    both = {row: where for row, where in _named().items() if row in rows and rows[row].deferral}

    assert both == {}


def test_marks_are_found_wherever_they_stand() -> None:
    source = """
import pytest
pytestmark = [pytest.mark.requirement("A-1"), pytest.mark.slow]
@pytest.mark.requirement("B-1", "B-2")
async def test_one(): ...
CASES = [pytest.param(1, marks=pytest.mark.requirement("C-1"))]
class TestIt:
    @pytest.mark.requirement("D-1")
    def test_two(self): "requirement('E-1')"
"""

    assert named_in(source) == {"A-1", "B-1", "B-2", "C-1", "D-1"}
