"""Random rules of a host, put together from what people write, and inputs for them."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import strategies as st
from msgspec import UNSET

from safeconduct.core.model import Intent
from safeconduct.policy import document
from safeconduct.policy.rego import Modules
from safeconduct.policy.vetting import extension

from .builders import a_request, some_facts

_HEAD = "package safeconduct.host\n\nimport rego.v1\n\nimport data.safeconduct.host.util as u\n\n"
_UTIL = """package safeconduct.host.util

import rego.v1

short(x) if count(x) < 3

double(x) := y if y := x * 2

known(x) if x in data.regions

first(xs) := xs[0]

named contains input.arguments.name

named contains lower(input.arguments.id)

by_id[input.arguments.id] := input.arguments.n

safe := input.arguments.n if {
	not input.arguments.name
} else := 1 if {
	n := input.arguments.n
	n > 1
} else := 0
"""

# Each stands for itself; `NAME` and the like may be missing from the input.
_NAME, _N, _LIST = "input.arguments.name", "input.arguments.n", "input.arguments.list"
_CONDITIONS = [
    f'{_NAME} == "a"',
    f'{_NAME} != "a"',
    f"{_N} > 1",
    f"{_N} + 1 > 2",
    f'x := {_NAME}; x != "a"',
    f"x := {_NAME}",
    f"y := {_N}; not y == 1",
    f"[p, q] := {_LIST}; p != q",
    f"z := u.double({_N})",
    f"z := u.double({_N}); z > 2",
    f"w = {_NAME}",
    f'startswith({_NAME}, "a")',
    f"u.short({_NAME})",
    "u.known(input.subject.attributes.region)",
    f"{_NAME} in data.regions",
    f'{_NAME} in {{"a", "bb"}}',
    f"some e in {_LIST}; e > 1",
    f"some i; {_LIST}[i] == 2",
    f"{_LIST}[_] == 2",
    f"every e in {_LIST} {{ e > 1 }}",
    f"every e in {_LIST} {{ f := e + {_N}; f > 1 }}",
    f"count({{e | some e in {_LIST}}}) > 1",
    f"count([e | e := {_NAME}]) == 1",
    f"count([{_NAME} | true]) == 1",
    f"count({{v | v := u.double({_N})}}) == 0",
    f'count({{"k": k | k := {_NAME}}}) == 1',
    f'{{"a": {_NAME}}} == {{"a": "a"}}',
    f'[{_NAME}, 1] != ["a", 1]',
    'object.get(input.arguments, "name", "b") == "b"',
    'object.get(input.arguments, ["list", 0], 2) == 2',
    "data.owners[input.arguments.id] == input.subject.id",
    "o := data.owners[input.arguments.id]; o != input.subject.id",
    f"{_N} < data.limit",
    "data.nothing",
    "data.nothing.deeper == 1",
    "u.named[input.arguments.name]",
    "count(u.named) == 1",
    "count(u.by_id) == 1",
    "u.safe > 0",
    f"u.first({_LIST}) > 1",
    f"max({_LIST}) > 1",
    f"sum([e | some e in {_LIST}; e > 1]) > 2",
    f'concat(",", [{_NAME}, "b"]) == "a,b"',
    f"regex.match(`^a+$`, {_NAME})",
    f'glob.match("a*", [], {_NAME})',
    f'sprintf("%s-%v", [{_NAME}, {_N}]) == "a-2"',
    f'upper({_NAME}) == "A"',
    'input.tool.level == "high"',
    "data.safeconduct.levels.rank[input.tool.level] > 1",
    f"data.safeconduct.levels.rank[{_NAME}] > 1",
    "data.safeconduct.tiers.tier == null",
    'startswith(input.environment.ip, "10.")',
    'net.cidr_contains("10.0.0.0/8", input.environment.ip)',
    "time.parse_rfc3339_ns(input.environment.time) > 0",
    'time.weekday(time.parse_rfc3339_ns(input.environment.time)) == "Saturday"',
    'input.intent.purpose == "a"',
    "input.intent.purpose in data.regions",
    'startswith(input.intent.workflow, "a")',
    "input.intent == null",
    "input.consent.expires_at == null",
    "is_null(input.consent.expires_at)",
]


# Two of them may meet in one body, so their variables are told apart.
_CONDITIONS = [
    re.sub(r'(?<!["\w.])([efikopqvwxyz])(?!["\w.])', rf"\g<1>{number}", condition)
    for number, condition in enumerate(_CONDITIONS)
]


def _alone(condition: str) -> bool:
    """Whether `not` may stand before it."""
    outside = re.sub(r"\{.*\}|\[.*\]", "", condition)
    begins = condition.split(" ", 1)[0]
    return (
        not re.search("; |:=|^\\[", outside)
        and begins[:1] != "w"
        and begins not in {"some", "every"}
    )


_NEGATED = [f"not {each}" for each in _CONDITIONS if _alone(each)]
_REASONS = ['"r"', _NAME, f'sprintf("r.%s", [{_NAME}])', f"u.first({_LIST})"]


def _rule(number: int, conditions: list[str], reason: str, form: str) -> str:
    body = "\n\t".join(conditions)
    match form:
        case "deny":
            return f'deny contains {{"reason": {reason}}} if {{\n\t{body}\n}}\n'
        case "unless":
            return (
                f"ok_{number} if {{\n\t{body}\n}}\n\n"
                f'deny contains {{"reason": "r"}} if not ok_{number}\n'
            )
        case "function":
            return (
                f"f_{number}(level) := l if {{\n\tl := data.safeconduct.levels.rank[level]\n"
                f"\t{body}\n}}\n\n"
                f'deny contains {{"reason": "r"}} if f_{number}(input.tool.level) > 1\n'
            )
        case _:
            return (
                f'obligations contains {{"type": "notify", "about": {reason}}} if {{\n'
                f"\t{body}\n}}\n"
            )


@st.composite
def host_rules(draw: st.DrawFn) -> Modules:
    """Modules of a host, with the one that collects what they say."""
    rules = [
        _rule(
            number,
            draw(
                st.lists(
                    st.sampled_from(_CONDITIONS + _NEGATED), min_size=1, max_size=2, unique=True
                )
            ),
            draw(st.sampled_from(_REASONS)),
            draw(st.sampled_from(["deny", "unless", "function", "obligations"])),
        )
        for number in range(draw(st.integers(1, 2)))
    ]
    text = _HEAD + "\n".join(rules)
    collected = {
        name: ("safeconduct.host",)
        for name in ("deny", "obligations")
        if f"{name} contains" in text
    }
    return (
        ("extensions.rego", extension(collected)),
        ("host/util.rego", _UTIL),
        ("host/x.rego", text),
    )


def some_input() -> st.SearchStrategy[bytes]:
    """The allowed call with arguments of the right types, each there or not."""
    arguments = st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(["a", "bb", "EU", "low", ""]),
            "n": st.integers(0, 3),
            "list": st.lists(st.integers(0, 3), min_size=1, max_size=3),
            "id": st.sampled_from(["T-7", "T-8"]),
        },
    )

    def written(given: dict[str, Any], region: str | None, intent: Intent | None) -> bytes:
        facts = some_facts()
        facts.subject.attributes.clear()
        if region:
            facts.subject.attributes["region"] = region
        return document(a_request(arguments=given, intent=intent), facts).document

    texts = st.sampled_from([UNSET, "a", "EU"])
    intents = st.none() | st.builds(Intent, purpose=texts, workflow=texts)
    return st.builds(written, arguments, st.sampled_from([None, "EU", "US"]), intents)
