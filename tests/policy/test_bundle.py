"""Bundles: what a host may add, and what it may never do by adding it."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeconduct.core.model import Level
from safeconduct.policy import (
    Bundle,
    BundleError,
    Embedded,
    EngineFailed,
    HostPolicy,
    Pdp,
    check_bundle,
    document,
)

from .builders import a_request, at_levels, at_once, decided, some_facts

pytestmark = pytest.mark.slow  # a process judges each set of rules

HEAD = "package safeconduct.host\n\nimport rego.v1\n\n"


def bundle_of(directory: Path, **files: str) -> Bundle:
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)
    return Bundle.shipped().with_directory(directory)


def pdp_of(bundle: Bundle) -> Pdp:
    policy = HostPolicy(engine=Embedded(bundle), bundle=bundle.digest)
    return Pdp(lambda _: policy)


@pytest.mark.requirement("Z-20", "D-08")
def test_the_shipped_rules_pass_their_own_tests() -> None:
    assert check_bundle(Bundle.shipped()) == ()


@pytest.mark.requirement("Z-20")
def test_a_hosts_rule_refuses_with_its_own_reason(tmp_path: Path) -> None:
    bundle = bundle_of(
        tmp_path,
        region__rego=HEAD
        + 'deny contains {"reason": "region", "message": "Only from the EU."} if not in_region\n'
        + "in_region if input.subject.attributes.region == data.regions.allowed\n",
        data__yaml="regions: {allowed: EU}\n",
    )
    inside, outside = some_facts(), some_facts()
    outside.subject.attributes["region"] = "US"
    nowhere = some_facts()
    nowhere.subject.attributes.clear()
    pdp = pdp_of(bundle)

    assert decided(pdp, a_request(), inside).allow
    for facts in (outside, nowhere):
        refused = decided(pdp, a_request(), facts)
        assert (refused.reason, refused.message) == ("policy.region", "Only from the EU.")


@pytest.mark.requirement("Z-20")
def test_rules_below_the_hosts_package_and_arguments_count_too(tmp_path: Path) -> None:
    bundle = bundle_of(
        tmp_path,
        a__rego="package safeconduct.host.projects\n\nimport rego.v1\n"
        "import data.safeconduct.levels as l\n\n"
        'deny contains {"reason": "project"} if {\n'
        '\tinput.arguments.id == "T-9"\n\tl.rank[input.tool.level] > 1\n}\n',
        b__rego=HEAD + "unrelated := 1\n",
    )
    pdp = pdp_of(bundle)

    assert decided(pdp, a_request(), some_facts()).allow
    assert decided(pdp, a_request(arguments={"id": "T-9"}), some_facts()).reason == "policy.project"
    low = at_levels(Level.LOW, Level.LOW, Level.LOW)
    assert decided(pdp, a_request(arguments={"id": "T-9"}), low).allow


@pytest.mark.requirement("Z-20", "Z-37")
@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ("deny := true", "x.rego:5: deny must be a set"),
        ("deny if input.x", "x.rego:5: deny must be a set"),
        ("f(x) := f(x)", "x.rego:5: rule f refers to itself"),
        ("a := b\nb := data.safeconduct.host.a", "refers to itself"),
        ("a if data.safeconduct.host[input.x]", "x.rego:5: rule a refers to itself"),
        ("a if data.safeconduct.decision.allow", "x.rego:5: data.safeconduct.decision.allow"),
        ("a if data[input.x].y", "x.rego:5: say which document"),
        ('a := http.send({"url": "http://localhost"})', "x.rego:5: http.send is not available"),
        ("a := time.now_ns()", "x.rego:5: time.now_ns is not available"),
        ("a := count(numbers.range(1, 1e9))", "numbers.range is not available"),
        ("a := {", "x.rego:"),
        ("deny contains 1 if count(y) > 0", "x.rego:5: nothing gives y a value"),
        ("nobody_asks if count(y) > 0", "x.rego:5: nothing gives y a value"),
        ("a := 1" + "\n+ 1" * 1500, "x.rego: the policy engine cannot cope"),
    ],
)
def test_a_module_that_could_harm_is_refused_by_file_and_line(
    tmp_path: Path, rule: str, complaint: str
) -> None:
    with pytest.raises(BundleError) as refused:
        bundle_of(tmp_path, x__rego=HEAD + rule + "\n")

    assert complaint in refused.value.public
    assert str(tmp_path) not in refused.value.public


OTHER = HEAD + "import data.safeconduct.levels as l\n\nb if l.rank[input.tool.level]\n"


@pytest.mark.requirement("Z-20", "Z-37")
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a if l.rank.low", "y.rego:5: l is imported by host/x.rego alone"),
        ("import data.regions as l\n\na if l.x", "y.rego:1: l is imported as something else"),
        ("import input.x as b\n\na if true", "y.rego:1: b is imported and also a rule"),
        ("import data.safeconduct.decision as d\n\na := 1", "data.safeconduct.decision is not"),
        ("import data as d\n\na := 1", "y.rego:1: say which document"),
    ],
)
def test_an_import_counts_in_its_own_file_and_leads_where_rules_may_read(
    tmp_path: Path, text: str, complaint: str
) -> None:
    """Otherwise one file's import could lead another file's rule into the decision itself."""
    with pytest.raises(BundleError) as refused:
        bundle_of(tmp_path, x__rego=OTHER, y__rego=HEAD + text + "\n")

    assert complaint in refused.value.public


@pytest.mark.requirement("Z-20")
def test_two_files_may_import_the_same(tmp_path: Path) -> None:
    mine = "import data.safeconduct.levels as l\n\na if l.rank.low\n"

    bundle = bundle_of(tmp_path, x__rego=OTHER, y__rego=HEAD + mine)

    assert decided(pdp_of(bundle), a_request(), some_facts()).allow


@pytest.mark.requirement("Z-20")
@pytest.mark.parametrize("package", ["safeconduct.decision", "safeconduct", "safeconduct.hosts"])
def test_a_module_outside_the_hosts_package_is_refused(tmp_path: Path, package: str) -> None:
    with pytest.raises(BundleError, match=r"x\.rego:1: package") as refused:
        bundle_of(tmp_path, x__rego=f"package {package}\n\nimport rego.v1\n\nallow if true\n")

    assert package in refused.value.public


@pytest.mark.requirement("Z-20")
@pytest.mark.parametrize(
    "files",
    [
        {"data__yaml": "safeconduct: {decision: {answer: {allow: true}}}"},
        {"data__json": '{"safeconduct": {}}'},
        {"data__json": '{"a": 1, "a": 2}'},
        {"data__json": "[1]"},
        {"data__yaml": "a: &a [1]\nb: *a\n"},
        {"data__yaml": "a: 2026-11-21"},
        {"data__yaml": "a: ["},
        {"data__yaml": "a: 1", "data__json": "{}"},
        {"x__rego": "package safeconduct.host\n# " + "x" * 70_000},
    ],
)
def test_data_that_is_ambiguous_or_reaches_for_the_rules_is_refused(
    tmp_path: Path, files: dict[str, str]
) -> None:
    with pytest.raises(BundleError):
        bundle_of(tmp_path, **files)


def test_the_digest_names_the_content_and_only_the_content(tmp_path: Path) -> None:
    shipped = Bundle.shipped()
    files = {"x__rego": HEAD + "a := 1\n", "x_test__rego": HEAD + "test_a if a == 1\n"}
    first = bundle_of(tmp_path, **files)

    assert shipped.digest == Bundle.shipped().digest
    assert first.digest != shipped.digest
    assert bundle_of(tmp_path, x_test__rego=HEAD + "test_b if true\n").digest == first.digest
    assert bundle_of(tmp_path, x__rego=HEAD + "a := 2\n").digest != first.digest
    assert bundle_of(tmp_path, **files, data__json='{"k": 1}').digest != first.digest


def test_a_failing_test_is_reported_by_name_and_place(tmp_path: Path) -> None:
    bundle = bundle_of(
        tmp_path,
        x__rego=HEAD + "a := 1\n",
        x_test__rego=HEAD + "test_right if a == 1\n\ntest_wrong if a == 2\n",
    )

    (failure,) = check_bundle(bundle)

    assert failure.test == "safeconduct.host.test_wrong"
    assert failure.message.startswith("host/x_test.rego:7:")


@pytest.mark.requirement("Z-37")
def test_a_rule_that_never_ends_is_a_deny_and_the_next_call_is_answered(tmp_path: Path) -> None:
    bundle = bundle_of(
        tmp_path,
        x__rego=HEAD
        + "deny contains 1 if { some a in input.arguments.n; some b in input.arguments.n; "
        + "some c in input.arguments.n; a + b + c < 0 }\n",
    )
    pdp = pdp_of(bundle)
    busy = a_request(arguments={"n": list(range(300))})

    assert decided(pdp, busy, some_facts()).reason == "engine.failed"
    assert decided(pdp, a_request(arguments={"n": [1]}), some_facts()).allow


@pytest.mark.requirement("Z-37")
@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 5000])
def test_the_engine_fails_cleanly_on_what_is_not_an_input(raw: bytes) -> None:
    engine = Embedded(Bundle.shipped())

    with pytest.raises(EngineFailed):
        at_once(engine.evaluate(raw))
    assert b'"allow": true' in at_once(
        engine.evaluate(document(a_request(), some_facts()).document)
    )
