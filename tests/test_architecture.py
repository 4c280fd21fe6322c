"""Rules about the shape of the code that a machine can hold."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import grimp
import pytest

import safeconduct
from tests.fixtures.tables import complete_metadata

_SOURCE = Path(safeconduct.__file__).parent
_ROOT = _SOURCE.parent.parent
_MODULES = sorted(_SOURCE.rglob("*.py"))
_NOT_OF_A_TENANT = {
    "built_in_rules",
    "changes",
    "nodes",
}  # the feed and its followers are the installation's


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("safeconduct", cache_dir=None)


def _package(module: str) -> str:
    """The door a module stands behind: `safeconduct.policy.pdp` behind `safeconduct.policy`."""
    return ".".join(module.split(".")[:2])


def test_packages_are_entered_by_their_front_doors() -> None:
    graph = _graph()
    strays = [
        f"{importer} imports {imported}; import from {_package(imported)} instead"
        for importer in sorted(graph.modules)
        for imported in sorted(graph.find_modules_directly_imported_by(importer))
        if _package(imported) != _package(importer)
        and imported != _package(imported)
        and _package(imported) != "safeconduct.core"  # a vocabulary, not a component
    ]

    assert strays == []


def test_the_import_contracts_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache"],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_SOURCE.parent)},
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", _MODULES, ids=lambda path: path.relative_to(_SOURCE).as_posix())
def test_a_module_opens_by_saying_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


@pytest.mark.parametrize("path", _MODULES, ids=lambda path: path.relative_to(_SOURCE).as_posix())
def test_a_module_has_at_most_five_hundred_lines(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 500


@pytest.mark.requirement("X-01")
def test_the_tenant_comes_first_in_every_key() -> None:
    tables = complete_metadata().tables
    firsts = {
        name: table.primary_key.columns.values()[0].name
        for name, table in tables.items()
        if name not in _NOT_OF_A_TENANT
    }

    assert set(tables) >= _NOT_OF_A_TENANT
    assert {name: first for name, first in firsts.items() if first != "host"} == {}


@pytest.mark.requirement("X-01")
def test_what_is_unique_is_unique_to_its_tenant() -> None:
    """The origin is the one exception: it is what tells tenants apart."""
    loose = [
        f"{table.name}: {[column.name for column in constraint.columns]}"
        for table in complete_metadata().tables.values()
        for constraint in (*table.constraints, *(each for each in table.indexes if each.unique))
        if type(constraint).__name__ in {"UniqueConstraint", "Index"}
        and constraint.columns.keys()[0] != "host"
    ]

    assert loose == ["hosts: ['origin']"]


def test_the_picture_shows_every_room() -> None:
    picture = (Path(__file__).parent.parent / "ARCHITECTURE.md").read_text()
    rooms = {
        entry.name if entry.suffix else f"{entry.name}/"
        for entry in (Path(safeconduct.__file__).parent).iterdir()
        if not entry.name.startswith("__")
    }

    assert {room for room in rooms if room not in picture} == set()
