"""The engine in this process and OPA itself answer alike, word for word."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from safeconduct.policy import Bundle, Embedded, EngineFailed, document, known_data, relocated
from safeconduct.policy.rego import ENTRY_POINT, Modules
from tests.fixtures.opa import UNDEFINED, Opa, OpaError, opa_library

from .builders import a_request, at_once, some_facts
from .rules import host_rules, some_input
from .strategies import host_data, inputs

pytestmark = pytest.mark.slow

SHIPPED = Bundle.shipped()
DATA = {"regions": ["EU"], "owners": {"T-7": "bob"}, "limit": 3}
PATH = ENTRY_POINT.removeprefix("data.")
thousands = settings(
    max_examples=220,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would take minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def library() -> Path:
    found, why = opa_library()
    if found is None:
        pytest.skip(why)
    return found


class Both:
    """One bundle in both engines: in OPA as it stands, or as OPA servers are given it."""

    def __init__(self, library: Path, bundle: Bundle, *, moved: bool = False) -> None:
        self._embedded = Embedded(bundle)
        self._opa = Opa(library)
        self._path = PATH
        modules, data = bundle.modules, bundle.data
        if moved:
            there = relocated(bundle)
            self._path = there.place.replace("/", ".") + ".answer"
            root, name = there.place.split("/")
            modules, data = there.modules, {root: {name: json.loads(there.data)}}
        for file, text in modules:
            self._opa.module(file, text)
        self._opa.data(data)

    def answers(self, raw: bytes) -> tuple[Any, Any]:
        return self._ours(raw), self._theirs(raw)

    def agreed(self, raw: bytes) -> Any:
        """Return the one answer, or fail."""
        ours, theirs = self.answers(raw)
        assert ours == theirs, raw.decode()
        return ours

    def close(self) -> None:
        self._opa.close()

    def _ours(self, raw: bytes) -> Any:
        try:
            return msgspec.json.decode(at_once(self._embedded.evaluate(raw)))
        except EngineFailed:
            return UNDEFINED

    def _theirs(self, raw: bytes) -> Any:
        try:
            return self._opa.ask(self._path, raw)
        except OpaError as error:
            return error.message


@pytest.fixture(scope="module")
def shipped(library: Path) -> Iterator[Both]:
    both = Both(library, SHIPPED)
    yield both
    both.close()


def test_the_allowed_call_and_its_forbidden_neighbour(shipped: Both) -> None:
    allowed = shipped.agreed(document(a_request(), some_facts()).document)
    refused = shipped.agreed(document(a_request(), some_facts(ceiling=None)).document)

    assert (allowed["allow"], refused["reason"]) == (True, "ceiling.none")


@pytest.mark.timeout(300)
@pytest.mark.requirement("Z-20", "Z-37")
def test_the_built_in_rules_answer_alike_on_any_facts_and_any_data(library: Path) -> None:
    seen: Counter[str] = Counter()

    @thousands
    @given(data=host_data(), asked=st.lists(inputs(), min_size=6, max_size=14))
    def compare(data: dict[str, Any], asked: list[bytes]) -> None:
        known_data(data)
        both = Both(library, Bundle.of(modules=SHIPPED.modules, data=data))
        try:
            seen.update(both.agreed(raw)["reason"] for raw in asked)
        finally:
            both.close()

    compare()

    # The comparison is worth what it reaches: nearly every reason, and thousands of cases.
    assert seen.total() > 1500
    assert len(seen) > 15, seen
    assert seen["allowed"] > 20, seen


@pytest.mark.timeout(300)
@pytest.mark.requirement("Z-20", "Z-37")
def test_a_hosts_rules_mean_the_same_to_both(library: Path) -> None:
    """Above all where something is missing: that is where engines differ, and gates open."""
    seen: Counter[bool] = Counter()

    @thousands
    @given(modules=host_rules(), asked=st.lists(some_input(), min_size=4, max_size=8))
    def compare(modules: Modules, asked: list[bytes]) -> None:
        both = Both(library, Bundle.of(modules=(*SHIPPED.modules, *modules), data=DATA), moved=True)
        try:
            seen.update(both.agreed(raw)["allow"] for raw in asked)
        finally:
            both.close()

    compare()

    assert seen[True] > 200, seen
    assert seen[False] > 200, seen
