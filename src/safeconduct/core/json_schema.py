"""JSON Schema (2020-12, and what older drafts spell otherwise), compiled once and bounded.

Schemas come from servers, so nothing in one may cost more than a bound: what is compiled, what is
looked at for one value, patterns (`linear_pattern`). What is not checked is named in `unchecked`;
what cannot be checked within the bound is a fault. Formats are no checks, as the standard has it.
Faults name places and types, never values.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from safeconduct.core.linear_pattern import LinearPattern, Unsupported
from safeconduct.core.schema_faults import Check, Exhausted, Fault, Run, shown
from safeconduct.core.schema_keywords import KEYWORDS, combined

_MOST_PARTS = 5_000
_MOST_PATTERNS = 200
_MOST_UNCHECKED = 20
_NO_CHECKS = frozenset({"unevaluatedProperties", "unevaluatedItems", "$dynamicRef"})


class Validator:
    """One schema.

    Attributes:
        unchecked: Keywords that are not checked, each with its place.
    """

    def __init__(self, schema: object) -> None:
        compiler = Compiler(schema)
        self._check = compiler.compiled(schema, "#")
        self.unchecked = tuple(compiler.unchecked)

    def fault(self, value: Any) -> Fault | None:
        """Return the first thing that does not fit, or None if everything does."""
        try:
            return self._check(value, Run())
        except (Exhausted, RecursionError):
            return Fault((), "takes too long to be held against its schema")


class Compiler:
    """Turns the places of one schema into checks."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._references: dict[str, Check] = {}
        self._parts = 0
        self._patterns = 0
        self.unchecked: list[str] = []

    def compiled(self, schema: object, place: str) -> Check:
        """Return what checks a value against a schema."""
        self._parts += 1
        if schema is True or self._parts > _MOST_PARTS:
            if schema is not True:
                self.skip(place, "the schema is too large")
            return _anything
        if schema is False:
            return _nothing
        if not isinstance(schema, dict):
            self.skip(place, "it is no schema")
            return _anything
        for name in _NO_CHECKS.intersection(schema):
            self.skip(f"{place}/{name}", "it is not supported")
        return combined([check for make in KEYWORDS for check in make(self, schema, place)])

    def each(self, schemas: object, place: str) -> list[Check]:
        if not isinstance(schemas, list):
            return []
        return [self.compiled(each, f"{place}/{index}") for index, each in enumerate(schemas)]

    def named(self, schemas: object, place: str) -> dict[str, Check]:
        if not isinstance(schemas, dict):
            return {}
        return {
            name: self.compiled(each, f"{place}/{shown(name)}") for name, each in schemas.items()
        }

    def reference(self, reference: str, place: str) -> Check:
        """Return what checks against another place of the schema, made when it is first needed."""
        known = self._references.get(reference)
        if known is None:
            try:
                target = referred(self._root, reference)
            except LookupError:
                self.skip(place, "it refers to nothing in the schema")
                return _anything
            made: list[Check] = []

            def known(value: Any, run: Run) -> Fault | None:
                run.spend(1)
                return made[0](value, run)

            self._references[reference] = known
            made.append(self.compiled(target, place))
        return known

    def pattern(self, text: object, place: str) -> LinearPattern | None:
        self._patterns += 1
        if not isinstance(text, str) or self._patterns > _MOST_PATTERNS:
            self.skip(place, "it is no text, or there are too many")
            return None
        try:
            return LinearPattern(text)
        except Unsupported as error:
            self.skip(place, str(error))
            return None

    def skip(self, place: str, why: str) -> None:
        if len(self.unchecked) < _MOST_UNCHECKED:
            self.unchecked.append(f"{place}: {why}")


def referred(root: object, reference: str) -> object:
    """Return the place of a schema that a reference leads to.

    Raises:
        LookupError: If it leads nowhere, or out of the schema.
    """
    if not reference.startswith("#") or (reference != "#" and not reference.startswith("#/")):
        raise LookupError(reference)
    value = root
    for part in unquote(reference[1:]).split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name[:6]) < len(value):
            value = value[int(name[:6])]
        else:
            raise LookupError(reference)
    return value


def _anything(_value: Any, _run: Run) -> None:
    return None


def _nothing(_value: Any, _run: Run) -> Fault:
    return Fault((), "is not allowed")
