"""SpiceDB's own validation files: their schemas, tuples and assertions, answered by us.

The files come with SpiceDB (`scripts/public-cases`, Apache-2.0); none is kept here. Each is
answered as it says, or refused with a reason that docs/relations.md names. That 283 assertions
are held is written down, so that a file that stops being read is noticed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from safeconduct.relations import Graph, Question, SchemaError, Tuple, check, compile_schema

FOLDER = Path(__file__).parents[2] / ".public-cases/spicedb"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="run scripts/public-cases, which needs Go"),
    pytest.mark.requirement("Z-08", "Z-16"),
]
_AT = 1_800_000_000.0  # 2027; expirations in the files are of 2023 and 2323
_WITH_CAVEATS = (
    *("allopscaveat", "basiccaveat", "caveatarrow", "caveatedintersectionarrow"),
    *("caveatexpiration", "caveatindirectarrow", "caveatip", "caveatlist", "caveatlr"),
    *("caveatmap", "caveatmultiplebranchessamerel", "caveatunderarrow"),
    *("caveatunderintersect", "expirationwithcaveat", "multibranchcaveatwitharrows"),
    *("multibranchcaveatwithintersectionarrows", "multipleslashes", "publiccaveat"),
    *("publiccaveatexclusion", "quay"),
)
REFUSED = dict.fromkeys(_WITH_CAVEATS, "caveats are not supported here") | {
    "extendedids": "is not object#relation@subject"  # ids of more than 256 characters
}
ASSERTIONS = 283


def _files() -> list[Path]:
    return sorted(FOLDER.glob("*.yaml")) if FOLDER.is_dir() else []


def _read(text: str) -> Tuple:
    return Tuple.parse(text.strip().replace("#...", ""))


def _graph(document: dict[str, Any]) -> Graph:
    lines = (line.strip() for line in document["relationships"].split("\n"))
    return Graph.of([_read(line) for line in lines if line and not line.startswith("//")])


def _held(path: Path) -> int:
    """Answer every assertion of a file; returns how many there were."""
    count = 0
    for document in filter(None, yaml.safe_load_all(path.read_text("utf-8"))):
        schema, graph = compile_schema(document["schema"]), _graph(document)
        assertions = document.get("assertions") or {}
        for name, expected in (("assertTrue", True), ("assertFalse", False)):
            for text in assertions.get(name) or ():
                edge = _read(text)
                question = Question(
                    object=edge.object, permission=edge.relation, subject=edge.subject
                )
                assert check(schema, graph, question, at=_AT).allowed is expected, text
                count += 1
        assert not assertions.get("assertCaveated")
    return count


@pytest.mark.parametrize(
    "path", [each for each in _files() if each.stem not in REFUSED], ids=lambda path: path.stem
)
def test_every_assertion_of_spicedb_holds(path: Path) -> None:
    _held(path)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_is_refused_with_its_reason(name: str) -> None:
    with pytest.raises((SchemaError, ValueError), match=REFUSED[name]):
        _held(FOLDER / f"{name}.yaml")


def test_as_many_assertions_were_held_as_there_are() -> None:
    assert sum(_held(path) for path in _files() if path.stem not in REFUSED) == ASSERTIONS
