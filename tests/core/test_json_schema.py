"""Schemas as the reference implementation reads them, and bounded where that one is not."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from safeconduct.core.json_schema import Validator
from safeconduct.core.schema_faults import Run
from safeconduct.core.schema_shape import Shape

pytestmark = pytest.mark.requirement("SEC-56")

NAMES = st.sampled_from(["a", "b", "c", "A"])
SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "ab", "b1"])
) | st.sampled_from([0.0, 1.0, 1.5, -2.5])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
COUNTS = st.integers(0, 3)
PATTERNS = st.sampled_from(["^a", "b$", "^[a-c]*$", "a|b", r"\d", "^.{1,2}$"])


def schemas(depth: int = 3) -> st.SearchStrategy[Any]:
    """Write schemas of every keyword that is checked."""
    if depth == 0:
        return st.booleans() | st.just({}) | st.builds(lambda each: {"type": each}, TYPES)
    inner = schemas(depth - 1)
    some = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(NAMES, inner, max_size=3)
    keywords: dict[str, st.SearchStrategy[Any]] = {
        "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
        "enum": st.lists(VALUES, min_size=1, max_size=4),
        "const": VALUES,
        "minimum": st.integers(-2, 2),
        "maximum": st.integers(-2, 2),
        "exclusiveMinimum": st.integers(-2, 2),
        "exclusiveMaximum": st.integers(-2, 2),
        "multipleOf": st.sampled_from([1, 2, 0.5]),
        **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), COUNTS),
        **dict.fromkeys(("minProperties", "maxProperties"), COUNTS),
        "pattern": PATTERNS,
        "required": st.lists(NAMES, max_size=2, unique=True),
        "properties": named,
        "patternProperties": st.dictionaries(PATTERNS, inner, max_size=2),
        "additionalProperties": inner,
        "propertyNames": inner,
        "items": inner,
        "prefixItems": some,
        "contains": inner,
        "uniqueItems": st.booleans(),
        **dict.fromkeys(("allOf", "anyOf", "oneOf"), some),
        **dict.fromkeys(("not", "if", "then", "else"), inner),
        "dependentRequired": st.dictionaries(NAMES, st.lists(NAMES, max_size=2, unique=True)),
        "dependentSchemas": named,
        "$ref": st.sampled_from(["#/$defs/x", "#/$defs/y"]),
    }
    chosen = st.lists(st.sampled_from(sorted(keywords)), max_size=3, unique=True)
    return chosen.flatmap(lambda names: st.fixed_dictionaries({n: keywords[n] for n in names}))


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(schemas(), schemas(1), VALUES)
@example({"enum": [1, [1.0]]}, {}, [1])
@example({"const": True}, {}, 1)
@example({"const": [], "enum": [None]}, {}, [])
@example({"uniqueItems": True}, {}, [1, 1.0])
@example({"uniqueItems": True}, {}, [1, True, [0], [False]])
def test_a_value_fits_where_the_reference_implementation_says_so(
    schema: Any, other: Any, value: Any
) -> None:
    other = {} if "#/$defs" in repr(other) else other
    if isinstance(schema, dict):
        schema["$defs"] = {"x": other, "y": {"type": "object", "properties": {"a": other}}}

    ours = Validator(schema)

    assert ours.unchecked == ()
    assert (ours.fault(value) is None) == Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    ("schema", "value", "problem"),
    [
        ({"type": "object"}, "x", "arguments is a string, and must be an object"),
        (
            {"properties": {"order": {"type": "object"}}},
            {"order": '{"amount": 500}'},
            "arguments.order is a string, and must be an object",
        ),
        ({"required": ["a"]}, {}, "arguments.a is missing"),
        (
            {"properties": {"a": {"items": {"type": "integer"}}}},
            {"a": [1, "2"]},
            "arguments.a[1] is a string, and must be a whole number",
        ),
        ({"additionalProperties": False}, {"b": 1}, "arguments.b is not allowed"),
        (
            {"properties": {"a": {"enum": ["x"]}}},
            {"a": "y"},
            "arguments.a is none of the values there are",
        ),
        ({"additionalProperties": False}, {"a\nb": 1}, "arguments.'a\\nb' is not allowed"),
    ],
)
def test_a_fault_names_the_place_and_the_type_and_no_value(
    schema: Any, value: Any, problem: str
) -> None:
    fault = Validator(schema).fault(value)

    assert fault is not None
    assert fault.spelled("arguments") == problem


NESTED: Any = {}
for _ in range(60):
    NESTED = {"allOf": [NESTED, {"anyOf": [NESTED, {"type": "object"}]}]}
DEEP: Any = 1
for _ in range(60):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"$ref": "#"}, {}),
        ({"allOf": [{"$ref": "#"}]}, {}),
        ({"anyOf": [{"$ref": "#"}, {"$ref": "#"}], "type": "string"}, "x"),
        (
            {
                "$ref": "#/$defs/a",
                "$defs": {
                    "a": {
                        "anyOf": [
                            {"properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["no"]},
                            {"properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["no"]},
                        ]
                    }
                },
            },
            DEEP,
        ),
        (
            {"items": {"enum": list(range(3000))}, "uniqueItems": True},
            [[n] for n in range(200_000)],
        ),
        ({"propertyNames": {"pattern": "^(a|a)*$"}}, {"a" * n + "b": 1 for n in range(3000)}),
        ({"pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"}, "a" * 1_000_000),
    ],
)
def test_a_hostile_schema_costs_a_bounded_time_and_never_lets_pass(schema: Any, value: Any) -> None:
    validator = Validator(schema)
    began = time.thread_time()

    assert validator.fault(value) is not None

    assert time.thread_time() - began < 3


def test_a_schema_that_is_too_large_is_checked_in_part_and_says_so() -> None:
    wide = {"properties": {f"a{n}": {"type": "string"} for n in range(20_000)}}

    for schema in (wide, NESTED):
        began = time.thread_time()
        assert any("too large" in each for each in Validator(schema).unchecked)
        assert time.thread_time() - began < 3
    assert Validator(wide).fault({"a1": 1}) is not None


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"pattern": "(?=a)"}, "#/pattern: it looks around, or sets flags"),
        ({"properties": {"a": {"pattern": r"(a)\1"}}}, "#/properties/a/pattern: it looks back"),
        ({"$ref": "https://elsewhere.test/schema"}, "#/$ref: it refers to nothing in the schema"),
        ({"unevaluatedProperties": False}, "#/unevaluatedProperties: it is not supported"),
        ({"items": 7}, "#/items: it is no schema"),
    ],
)
def test_what_is_not_checked_is_said(schema: Any, said: str) -> None:
    validator = Validator(schema)

    assert [each[: len(said)] for each in validator.unchecked] == [said]
    assert validator.fault({"a": "aa"}) is None


def test_older_drafts_are_read_as_they_were_meant() -> None:
    older = {"minimum": 1, "exclusiveMinimum": True}
    rows = {"items": [{"type": "string"}], "additionalItems": {"type": "integer"}}

    assert Validator(older).fault(1) is not None
    assert Validator(older).fault(2) is None
    assert Validator(rows).fault(["a", 1]) is None
    assert Validator(rows).fault(["a", "b"]) is not None
    assert Validator({"dependencies": {"a": ["b"]}}).fault({"a": 1}) is not None


TICKET = {
    "properties": {
        "id": {"type": "string"},
        "order": {"$ref": "#/$defs/order"},
        "rows": {"items": {"properties": {"amount": {}}}},
        "either": {"anyOf": [{}, {"properties": {"Kind": {}}}]},
        "free": {"type": "object"},
        "named": {"additionalProperties": {"properties": {"x": {}}}},
    },
    "$defs": {"order": {"properties": {"amount": {}, "inner": {"$ref": "#/$defs/order"}}}},
}


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"id": "1", "order": {"amount": 1}, "other": 1}, None),
        ({"Id": "1"}, ("Id",)),
        ({"id": "1", "ID": "2"}, ("ID",)),
        ({"\uff49d": "1"}, ("\uff49d",)),
        ({"order": {"Amount": 1}}, ("order", "Amount")),
        ({"order": {"inner": {"inner": {"aMount": 1}}}}, ("order", "inner", "inner", "aMount")),
        ({"rows": [{"amount": 1}, {"AMOUNT": 1}]}, ("rows", 1, "AMOUNT")),
        ({"either": {"kind": 1}}, ("either", "kind")),
        ({"free": {"Id": 1, "id": 2}}, None),
        ({"named": {"a": {"X": 1}}}, ("named", "a", "X")),
        ({"order": "amount"}, None),
    ],
)
def test_a_twin_of_a_declared_name_is_found_at_every_depth(
    value: Any, path: tuple[Any, ...] | None
) -> None:
    fault = Shape.of(TICKET).twin(value, Run())

    assert (fault and fault.path) == path


def test_names_that_a_schema_itself_has_twice_are_no_twins() -> None:
    both = {"oneOf": [{"properties": {"userId": {}}}, {"properties": {"userid": {}}}]}

    assert Shape.of(both).twin({"userId": 1, "userid": 2}, Run()) is None
    assert Shape.of(both).twin({"USERID": 1}, Run()) is not None
