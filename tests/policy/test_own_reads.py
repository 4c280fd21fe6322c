"""What a host's own rules read of a call, told from their text and rather too much."""

from __future__ import annotations

import pytest

from safeconduct.core.binding import Binding
from safeconduct.policy import computed, host_reads
from safeconduct.policy.own_reads import EVERYTHING, OwnReads

pytestmark = pytest.mark.requirement("Z-28")
HEAD = "package safeconduct.host\n\nimport rego.v1\n\n"


def reads(*lines: str) -> OwnReads:
    return host_reads((("host/own.rego", HEAD + "\n".join(lines)),))


@pytest.mark.parametrize(
    ("line", "uri", "arguments"),
    [
        ("x if input.tool.level == data.level", False, set()),
        ("x if input.resource.kind", False, set()),
        ("x if input.resource.name", True, set()),
        ('x if input["resource"].name', True, set()),
        ("x if input[`resource`].kind", False, set()),
        ("x if input.arguments[`order`][`amount`] > 1", False, {("order", "amount")}),
        ("x if input.resource", True, set()),
        ("x if input.arguments.order.amount > 1", False, {("order", "amount")}),
        ("x if input.arguments.items[_].id", False, {("items",)}),
        ("x if { some k; input.arguments[k] }", False, {()}),
        ("x if input[data.y]", True, {()}),
        ("x if { y := input; y.arguments }", True, {()}),
        ("deny contains {} if { some r in input.arguments.a; r.b }", False, {("a",)}),
    ],
)
def test_what_a_rule_reads(line: str, uri: bool, arguments: set[tuple[str, ...]]) -> None:
    found = reads(line)

    assert (found.uri, found.arguments) == (uri, frozenset(arguments))


def test_what_is_imported_counts_as_read() -> None:
    text = "package safeconduct.host\n\nimport input.arguments as a\n\nx if a.b\n"

    found = host_reads((("host/own.rego", text),))

    assert (found.uri, found.arguments) == (False, frozenset({()}))


def test_names_of_members_count_wherever_a_rule_uses_them() -> None:
    found = reads('deny contains {} if { some row in input.arguments.rows; row.amount; row["B"] }')

    assert {"rows", "amount", "B"} <= found.names


@pytest.mark.parametrize(
    "condition",
    [
        "input.arguments[`amount`] > 100",
        "object.get(input.arguments, [`order`, `amount`], 0) > 100",
        'json.filter(input.arguments, ["order/amount"]).order.amount > 100',
        "object.get(input.arguments, split(`order.amount`, `.`), 0) > 100",
        "`amount` in object.keys(input.arguments)",
        "input.arguments[data.field] > 100",
        "{ some k, v in data.most; input.arguments[k] > v }",
    ],
)
def test_a_name_counts_however_it_is_written(condition: str) -> None:
    text = f"{HEAD}deny contains {{}} if {condition}\n"
    data = {"field": "amount", "most": {"amount": 1}}

    assert "amount" in host_reads((("host/own.rego", text),), (), data).names


def test_data_that_names_no_argument_counts_not() -> None:
    text = f"{HEAD}deny contains {{}} if input.arguments.x == data.field\n"

    assert "amount" not in host_reads((("host/own.rego", text),), (), {"field": "amount"}).names


def test_it_is_told_where_names_are_computed() -> None:
    text = f"{HEAD}x if input.arguments.a\n\ny if {{ some k; input.arguments[k] == 1 }}\n"

    assert computed((("host/own.rego", text),)) == ("host/own.rego:7",)
    assert computed((("host/own.rego", f"{HEAD}x if input.arguments[`a`]\n"),)) == ()


def test_an_annotation_says_what_type_a_rule_expects() -> None:
    annotated = (
        "# METADATA\n# title: x\n# schemas:\n#   - input.arguments.a.b: {type: string}\n"
        "#   - input.subject: schema.person\n#   - input.arguments.c: schema.other\nx if true\n\n"
        "# METADATA\n# schemas: [unreadable\ny if true"
    )

    assert reads(annotated).expects == ((("a", "b"), {"type": "string"}),)


def test_questions_read_arguments_and_no_rules_read_nothing() -> None:
    asked = Binding(path="arguments.ids.*.x", object="t:{value}", permission="p")

    assert host_reads(()) == OwnReads(uri=False, arguments=frozenset())
    assert host_reads((), [("q", asked)]).arguments == {("ids",)}
    assert EVERYTHING.uri
