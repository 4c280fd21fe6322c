"""The keywords of JSON Schema: for each group of them, what they make of one place of a schema.

Each maker yields checks; a check returns the first thing that does not fit. What a value may cost
is bounded by `Run.spend`, once for each member, item and branch that is looked at.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec

from safeconduct.core.linear_pattern import LinearPattern
from safeconduct.core.schema_faults import Check, Exhausted, Fault, Run, shown, type_of

if TYPE_CHECKING:
    from safeconduct.core.json_schema import Compiler

Schema = dict[str, Any]
_TYPES: dict[str, str] = {
    "null": "null",
    "boolean": "a boolean",
    "integer": "a whole number",
    "number": "a number",
    "string": "a string",
    "array": "an array",
    "object": "an object",
}
_CLASSES: dict[str, frozenset[type]] = {
    "null": frozenset({type(None)}),
    "boolean": frozenset({bool}),
    "number": frozenset({int, float}),
    "string": frozenset({str}),
    "array": frozenset({list}),
    "object": frozenset({dict}),
}
_LIMITS: tuple[tuple[str, Callable[[Any, Any], bool], str], ...] = (
    ("minimum", operator.ge, "must be at least"),
    ("maximum", operator.le, "must be at most"),
    ("exclusiveMinimum", operator.gt, "must be greater than"),
    ("exclusiveMaximum", operator.lt, "must be less than"),
)
_encode = msgspec.json.Encoder(order="sorted").encode


def combined(checks: list[Check]) -> Check:
    """Return a check that finds what the first of several finds."""
    if len(checks) == 1:
        return checks[0]

    def check(value: Any, run: Run) -> Fault | None:
        for each in checks:
            fault = each(value, run)
            if fault is not None:
                return fault
        return None

    return check


def _types(_compiler: Compiler, schema: Schema, _place: str) -> Iterator[Check]:
    wanted = schema.get("type")
    names = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(names, list) or not names or not all(name in _TYPES for name in names):
        return
    classes = frozenset().union(*(_CLASSES.get(name, frozenset()) for name in names))
    whole = "integer" in names
    expected = " or ".join(_TYPES[name] for name in names)

    def check(value: Any, _run: Run) -> Fault | None:
        kind = type(value)
        if kind in classes or (whole and (kind is int or (kind is float and value.is_integer()))):
            return None
        return Fault((), f"is {type_of(value)}, and must be {expected}")

    yield check


def _values(compiler: Compiler, schema: Schema, place: str) -> Iterator[Check]:
    if "const" in schema:
        yield from _listed([schema["const"]], compiler, place)
    if isinstance(schema.get("enum"), list):
        yield from _listed(schema["enum"], compiler, place)


def _listed(allowed: list[Any], compiler: Compiler, place: str) -> Iterator[Check]:
    try:
        known = frozenset(map(_mark, allowed))
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        compiler.skip(place, "its values are not JSON")
        return

    def check(value: Any, run: Run) -> Fault | None:
        if type(value) in {dict, list}:
            run.spend(_size(value))
        return None if _mark(value) in known else Fault((), "is none of the values there are")

    yield check


def _mark(value: Any) -> Any:
    """Return something that is equal for equal JSON values: 1 is 1.0, and is not true."""
    if type(value) is str:
        return value
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) in {dict, list}:
        return _encode(_evened(value))
    return _encode(value)


def _evened(value: Any) -> Any:
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_evened(each) for each in value]
        case dict():
            return {name: _evened(each) for name, each in value.items()}
        case _:
            return value


def _size(value: Any) -> int:
    """Return how many places a value has."""
    match value:
        case list():
            return 1 + sum(map(_size, value))
        case dict():
            return 1 + sum(map(_size, value.values()))
        case _:
            return 1


def _numbers(_compiler: Compiler, schema: Schema, _place: str) -> Iterator[Check]:
    schema = _modern(schema)
    for name, holds, problem in _LIMITS:
        limit = _number(schema, name)
        if limit is not None:
            yield _limited(holds, limit, f"{problem} {limit}")
    step = _number(schema, "multipleOf")
    if step is not None and step > 0:
        part = Fraction(str(step))
        problem = f"must be a multiple of {step}"
        yield _limited(lambda value, _: not Fraction(str(value)) % part, step, problem)


def _modern(schema: Schema) -> Schema:
    """Return a schema with the limits of draft 4, where excluding was a flag, as they are now."""
    for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if schema.get(exclusive) is True:
            schema = schema | {exclusive: schema.get(limit), limit: None}
    return schema


def _limited(holds: Callable[[Any, Any], bool], limit: float, problem: str) -> Check:
    def check(value: Any, _run: Run) -> Fault | None:
        if type(value) not in {int, float} or holds(value, limit):
            return None
        return Fault((), problem)

    return check


def _number(schema: Schema, name: str) -> int | float | None:
    value = schema.get(name)
    return value if type(value) in {int, float} else None


def _count(schema: Schema, name: str, otherwise: int | None) -> int | None:
    value = schema.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return otherwise
    return int(value)


def _sizes(_compiler: Compiler, schema: Schema, _place: str) -> Iterator[Check]:
    for kind, least_name, most_name, what in (
        (str, "minLength", "maxLength", "characters"),
        (list, "minItems", "maxItems", "items"),
        (dict, "minProperties", "maxProperties", "members"),
    ):
        least, most = _count(schema, least_name, 0) or 0, _count(schema, most_name, None)
        if least or most is not None:
            yield _sized(kind, least, most, what)


def _sized(kind: type[Any], least: int, most: int | None, what: str) -> Check:
    def check(value: Any, _run: Run) -> Fault | None:
        if not isinstance(value, kind):
            return None
        if len(value) < least:
            return Fault((), f"must have at least {least} {what}")
        if most is not None and len(value) > most:
            return Fault((), f"must have at most {most} {what}")
        return None

    return check


def _texts(compiler: Compiler, schema: Schema, place: str) -> Iterator[Check]:
    if "pattern" not in schema:
        return
    pattern = compiler.pattern(schema["pattern"], f"{place}/pattern")
    if pattern is None:
        return

    def check(value: Any, run: Run) -> Fault | None:
        if type(value) is not str:
            return None
        run.spend(len(value) // 8)
        found = pattern.found_in(value)
        if found is None:
            raise Exhausted
        return None if found else Fault((), "does not have the pattern it must have")

    yield check


def _objects(compiler: Compiler, schema: Schema, place: str) -> Iterator[Check]:
    required = schema.get("required")
    if isinstance(required, list):
        yield _requiring(dict.fromkeys(name for name in required if isinstance(name, str)))
    properties = compiler.named(schema.get("properties"), f"{place}/properties")
    where = f"{place}/patternProperties"
    named = compiler.named(schema.get("patternProperties"), where)
    found = [(compiler.pattern(text, where), check) for text, check in named.items()]
    patterned = [(pattern, check) for pattern, check in found if pattern is not None]
    others: Check | None = None
    # What a pattern that is not matched here allows must not be taken for anything else.
    if "additionalProperties" in schema and len(patterned) == len(named):
        where = f"{place}/additionalProperties"
        others = compiler.compiled(schema["additionalProperties"], where)
    if patterned:
        yield _patterned_members(properties, patterned, others)
    elif properties or others is not None:
        yield _members(properties, others)
    if "propertyNames" in schema:
        yield _naming(compiler.compiled(schema["propertyNames"], f"{place}/propertyNames"))


def _requiring(names: dict[str, None]) -> Check:
    def check(value: Any, _run: Run) -> Fault | None:
        if type(value) is dict:
            for name in names:
                if name not in value:
                    return Fault((name,), "is missing")
        return None

    return check


def _members(properties: dict[str, Check], others: Check | None) -> Check:
    def check(value: Any, run: Run) -> Fault | None:
        if type(value) is not dict:
            return None
        run.spend(len(value))
        for name, member in value.items():
            each = properties.get(name, others)
            if each is not None:
                fault = each(member, run)
                if fault is not None:
                    return fault.under(name)
        return None

    return check


def _patterned_members(
    properties: dict[str, Check],
    patterned: list[tuple[LinearPattern, Check]],
    others: Check | None,
) -> Check:
    def checks_of(name: str, run: Run) -> list[Check]:
        run.spend(len(patterned))
        found = [check for pattern, check in patterned if pattern.found_in(name) is not False]
        if name in properties:
            found.append(properties[name])
        return found or ([] if others is None else [others])

    def check(value: Any, run: Run) -> Fault | None:
        if type(value) is not dict:
            return None
        for name, member in value.items():
            for each in checks_of(name, run):
                fault = each(member, run)
                if fault is not None:
                    return fault.under(name)
        return None

    return check


def _naming(name_check: Check) -> Check:
    def check(value: Any, run: Run) -> Fault | None:
        if type(value) is dict:
            run.spend(len(value))
            for name in value:
                if name_check(name, run) is not None:
                    return Fault((name,), "has a name that is not allowed")
        return None

    return check


def _arrays(compiler: Compiler, schema: Schema, place: str) -> Iterator[Check]:
    items, first = (
        schema.get("items"),
        compiler.each(schema.get("prefixItems"), f"{place}/prefixItems"),
    )
    rest: Check | None = None
    if isinstance(items, list):  # drafts before 2020-12
        first = compiler.each(items, f"{place}/items")
        if "additionalItems" in schema:
            rest = compiler.compiled(schema["additionalItems"], f"{place}/additionalItems")
    elif items is not None:
        rest = compiler.compiled(items, f"{place}/items")
    if first or rest is not None:
        yield _itemized(first, rest)
    if "contains" in schema:
        least, most = _count(schema, "minContains", 1) or 0, _count(schema, "maxContains", None)
        yield _containing(compiler.compiled(schema["contains"], f"{place}/contains"), least, most)
    if schema.get("uniqueItems") is True:
        yield _distinct


def _itemized(first: list[Check], rest: Check | None) -> Check:
    def check(value: Any, run: Run) -> Fault | None:
        if type(value) is not list:
            return None
        run.spend(len(value))
        for index, item in enumerate(value):
            each = first[index] if index < len(first) else rest
            if each is None:
                return None
            fault = each(item, run)
            if fault is not None:
                return fault.under(index)
        return None

    return check


def _containing(inner: Check, least: int, most: int | None) -> Check:
    def check(value: Any, run: Run) -> Fault | None:
        if type(value) is not list:
            return None
        run.spend(len(value))
        count = sum(inner(item, run) is None for item in value)
        if count < least or (most is not None and count > most):
            return Fault((), "has not as many of certain items as it must have")
        return None

    return check


def _distinct(value: Any, run: Run) -> Fault | None:
    if type(value) is not list:
        return None
    run.spend(_size(value))
    return Fault((), "has an item twice") if len(set(map(_mark, value))) < len(value) else None


def _combined(compiler: Compiler, schema: Schema, place: str) -> Iterator[Check]:
    if isinstance(schema.get("$ref"), str):
        yield compiler.reference(schema["$ref"], f"{place}/$ref")
    if isinstance(schema.get("$recursiveRef"), str):
        compiler.skip(f"{place}/$recursiveRef", "it is not supported")
    yield from compiler.each(schema.get("allOf"), f"{place}/allOf")
    for name in ("anyOf", "oneOf"):
        branches = compiler.each(schema.get(name), f"{place}/{name}")
        if branches:
            yield _one_of(branches, alone=name == "oneOf")
    if "not" in schema:
        yield _none_of(compiler.compiled(schema["not"], f"{place}/not"))
    if "if" in schema:
        yield _conditional(
            *(
                compiler.compiled(schema.get(name, True), f"{place}/{name}")
                for name in ("if", "then", "else")
            )
        )
    yield from _dependent(compiler, schema, place)


def _one_of(branches: list[Check], *, alone: bool) -> Check:
    def check(value: Any, run: Run) -> Fault | None:
        first: Fault | None = None
        fitting = 0
        for each in branches:
            run.spend(1)
            fault = each(value, run)
            if fault is None:
                fitting += 1
                if not alone:
                    return None
            elif first is None or len(fault.path) > len(first.path):
                first = fault
        if fitting == 1:
            return None
        return Fault((), "fits several forms, and must fit one") if fitting else first

    return check


def _none_of(inner: Check) -> Check:
    def check(value: Any, run: Run) -> Fault | None:
        run.spend(1)
        return Fault((), "has a form that is not allowed") if inner(value, run) is None else None

    return check


def _conditional(condition: Check, then: Check, otherwise: Check) -> Check:
    def check(value: Any, run: Run) -> Fault | None:
        run.spend(1)
        return (then if condition(value, run) is None else otherwise)(value, run)

    return check


def _dependent(compiler: Compiler, schema: Schema, place: str) -> Iterator[Check]:
    for keyword in ("dependentRequired", "dependentSchemas", "dependencies"):
        dependent = schema.get(keyword)
        for name, needed in dependent.items() if isinstance(dependent, dict) else ():
            if isinstance(needed, list):
                inner = _requiring(dict.fromkeys(each for each in needed if isinstance(each, str)))
            else:
                inner = compiler.compiled(needed, f"{place}/{keyword}/{shown(name)}")
            yield _where_there_is(name, inner)


def _where_there_is(name: str, inner: Check) -> Check:
    def check(value: Any, run: Run) -> Fault | None:
        there = type(value) is dict and name in value
        return inner(value, run) if there else None

    return check


KEYWORDS = (_types, _values, _numbers, _sizes, _texts, _objects, _arrays, _combined)
