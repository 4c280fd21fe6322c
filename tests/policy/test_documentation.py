"""What docs/policies.md says is so: its examples decide, and its list of built-ins is ours."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from safeconduct.core.decision import Decision, Obligation, RequireApproval
from safeconduct.core.model import ClientId, Intent, Level, Resource
from safeconduct.policy import (
    Bundle,
    BundleError,
    Embedded,
    Environment,
    HostPolicy,
    Pdp,
    RelationFact,
    check_bundle,
    known_data,
)
from safeconduct.policy.inspection import BUILTINS, judge
from safeconduct.proxy.messages import META_INTENT
from tests.fixtures.opa import Opa, OpaError, opa_library

from .builders import TICKETS, a_request, at_levels, decided, some_facts

pytestmark = pytest.mark.slow  # a process judges each example

DOCS = Path(__file__).parents[2] / "docs/policies.md"
TEXT = DOCS.read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
WEEKEND = Environment(time="2026-11-22T12:00:00Z", ip="192.0.2.7")


def blocks(section: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", SECTIONS[section], re.MULTILINE | re.DOTALL)


def bundle_of(directory: Path, section: str) -> Bundle:
    for number, text in enumerate(blocks(section, "rego")):
        (directory / f"{number}.rego").write_text(text)
    for text in blocks(section, "yaml"):
        (directory / "data.yaml").write_text(text)
    return Bundle.shipped().with_directory(directory)


def answer(bundle: Bundle, request: Any = None, facts: Any = None) -> Decision:
    policy = HostPolicy(engine=Embedded(bundle), bundle=bundle.digest)
    return decided(Pdp(lambda _: policy), request or a_request(), facts or some_facts())


def test_every_section_with_rules_is_tried_here() -> None:
    with_rules = {name for name in SECTIONS if blocks(name, "rego")}

    assert with_rules == {
        "One reading",
        "Refusing",
        "What rules see",
        "Conditions on what is allowed",
        "Declared intent",
        "Data",
    }


def test_refusing(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, "Refusing")
    nowhere = some_facts()
    nowhere.subject.attributes.clear()

    assert answer(bundle).allow
    assert answer(bundle, facts=nowhere).reason == "policy.region"


def test_what_rules_see(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, "What rules see")
    low = at_levels(Level.LOW, Level.LOW, Level.LOW)

    assert answer(bundle, facts=some_facts(environment=WEEKEND)).reason == "policy.hours"
    assert answer(bundle, facts=msgspec.structs.replace(low, environment=WEEKEND)).allow
    friday = Environment(time="2026-11-20T12:00:00Z", ip="192.0.2.7")
    assert answer(bundle, facts=some_facts(environment=friday)).allow


def test_conditions(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, "Conditions on what is allowed")
    search = Resource(kind="tool", server=TICKETS, name="search")

    kinds = [type(each).__name__ for each in answer(bundle).obligations]
    more = [type(each).__name__ for each in answer(bundle, a_request(resource=search)).obligations]

    assert sorted(kinds) == ["Mask", "Throttle"]
    assert sorted(more) == ["Filter", "Mask", "Throttle"]


@pytest.mark.requirement("Z-45")
def test_declared_intent(tmp_path: Path) -> None:
    (data,) = re.findall(r"^`(purposes: .+)`\.$", SECTIONS["Declared intent"], re.MULTILINE)
    (tmp_path / "data.yaml").write_text(data)
    bundle = bundle_of(tmp_path, "Declared intent")
    (params,) = map(json.loads, blocks("Declared intent", "json"))
    declared = Intent.parse(params["_meta"][META_INTENT])
    server = Resource(kind="server", server=TICKETS)

    assert answer(bundle).reason == "policy.undeclared"
    assert answer(bundle, a_request(intent=Intent(workflow="w"))).reason == "policy.undeclared"
    usual = answer(bundle, a_request(intent=declared))
    assert (usual.allow, usual.obligations) == (True, ())
    asking = answer(bundle, a_request(intent=Intent(purpose="curiosity")))
    assert (asking.allow, asking.obligations) == (True, (RequireApproval(),))
    for phase in ("token", "call"):  # nobody is kept from connecting
        assert answer(bundle, a_request(phase=phase, resource=server)).allow


def test_data(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, "Data")
    owns = RelationFact(
        name="owns",
        object="ticket:T-7",
        permission="own",
        subject="user:bob",
        allowed=True,
        required=False,
    )
    lowly = msgspec.structs.replace(some_facts().client, id=ClientId("acme-labs"))
    caller = msgspec.structs.replace(a_request().caller, client=ClientId("acme-labs"))

    assert set(known_data(bundle.data).questions) == {"owns"}
    assert answer(bundle).reason == "policy.owner"
    assert answer(bundle, facts=some_facts(relations=(owns,))).allow
    assert answer(bundle, a_request(caller=caller), some_facts(client=lowly)).reason == (
        "tier.exceeded"
    )


@pytest.mark.parametrize("section", [name for name in SECTIONS if blocks(name, "rego")])
def test_the_examples_are_whole(tmp_path: Path, section: str) -> None:
    own = [each for each in check_bundle(bundle_of(tmp_path, section)) if not each.test]

    assert own == []


def test_every_obligation_is_in_the_table_with_all_its_members() -> None:
    section = SECTIONS["Conditions on what is allowed"].partition("| --- |")[2]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", section, re.MULTILINE))
    kinds = {kind.__struct_config__.tag: kind for kind in get_args(Obligation)}

    assert set(rows) == set(kinds)
    for tag, kind in kinds.items():
        named = [field.encode_name for field in msgspec.structs.fields(kind)]
        assert [name for name in named if f"`{name}`" not in rows[tag]] == []


def test_the_built_ins_that_are_listed_are_those_that_may_be_called() -> None:
    listed = re.search(r"<!-- allowed -->(.*?)<!-- end -->", TEXT, re.DOTALL)
    assert listed is not None

    assert set(re.findall(r"`([\w.]+)`", listed[1])) == BUILTINS


def left_out() -> list[str]:
    rows = re.findall(r"^\| (`.+?) \|", SECTIONS["Built-ins"], re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([\w.]+)`", row)]


def not_in_ours() -> list[str]:
    tail = SECTIONS["Built-ins"].partition("so they are not supported:")[2]
    return [name for name in re.findall(r"`([\w.*]+)`", tail) if "*" not in name]


@pytest.mark.requirement("Z-20")
@pytest.mark.parametrize("name", [*left_out(), *not_in_ours()])
def test_a_built_in_that_is_not_supported_is_refused_by_name(name: str) -> None:
    text = f"package safeconduct.host\n\nimport rego.v1\n\na := {name}(1)\n"

    with pytest.raises(BundleError, match=rf"x\.rego:5: {re.escape(name)} is not available"):
        judge((("x.rego", text),))


@pytest.mark.slow
def test_opa_has_every_built_in_that_is_spoken_of() -> None:
    library, why = opa_library()
    if library is None:
        pytest.skip(why)
    unknown = [
        name
        for name in [*BUILTINS, *left_out(), *not_in_ours()]
        if not _known_to_opa(library, name)
    ]

    assert unknown == []


def _known_to_opa(library: Path, name: str) -> bool:
    opa = Opa(library)
    opa.module("a.rego", f"package p\n\na := {name}(input.a, input.b, input.c)\n")
    try:
        opa.ask("p.a", b"{}")
    except OpaError as error:
        return "undefined function" not in error.message
    finally:
        opa.close()
    return True
