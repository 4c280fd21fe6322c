"""Whether rules read input that there is: a name that is misspelled is undefined for ever.

Told by the schema that is published of the input. Where that says anything may stand (arguments,
attributes of people), so may rules; what the text does not fix is not looked at.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any

from safeconduct.policy.inspection import read_module
from safeconduct.policy.rego import BundleError
from safeconduct.policy.schema import input_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from safeconduct.policy.inspection import Module, Path
    from safeconduct.policy.rego import Modules


def check_inputs(modules: Modules) -> None:
    """Refuse rules that read a member of the input that does not exist.

    Raises:
        BundleError: At the first; the message names file, line and the nearest name.
    """
    for file, text in modules:
        for path, line in _read(read_module(file, text)):
            _check(path, f"{file}:{line}")


def words_at(path: Path) -> frozenset[str]:
    """Return the only words that may stand at a place below `input`; empty where any may."""
    places = [_schema()]
    for name in path:
        known = [_members(place).get(name) for place in places]
        places = [each for schema in known if schema is not None for each in _alternatives(schema)]
    return frozenset(word for place in places for word in place.get("enum", ()))


def _read(module: Module) -> Iterator[tuple[Path, int]]:
    """Yield the paths below `input` that a file reads, also by a name that it imports."""
    for path in module.imports.values():
        if path[0] == "input":
            yield path[1:], 1
    for rule in module.rules:
        for reference in rule.references:
            root, *rest = reference.path
            base = ("input",) if root == "input" else module.imports.get(root, ())
            if base[:1] == ("input",):
                yield (*base[1:], *rest), reference.line


def _check(path: Path, where: str) -> None:
    places = [_schema()]
    for depth, name in enumerate(path):
        if any(_is_open(place) for place in places):
            return
        known = {each: inner for place in places for each, inner in _members(place).items()}
        if name not in known:
            written = ".".join(("input", *path[: depth + 1]))
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(sorted(known))}"
            raise BundleError(
                f"{where}: there is no {written}; {hint if known else 'it is a value'}"
            )
        places = list(_alternatives(known[name]))


@cache
def _schema() -> dict[str, Any]:
    (whole,) = _alternatives(input_schema())
    return whole


def _alternatives(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what may stand somewhere, references resolved."""
    if "$ref" in schema:
        yield from _alternatives(input_schema()["$defs"][schema["$ref"].rpartition("/")[2]])
    elif "anyOf" in schema:
        for each in schema["anyOf"]:
            yield from _alternatives(each)
    else:
        yield schema


def _members(schema: dict[str, Any]) -> dict[str, Any]:
    members: dict[str, Any] = schema.get("properties", {})
    return members


def _is_open(schema: dict[str, Any]) -> bool:
    """Whether a schema says nothing of the members."""
    return not schema or (schema.get("type") == "object" and "properties" not in schema)
