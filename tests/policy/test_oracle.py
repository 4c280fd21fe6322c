"""The engine in this process and OPA itself answer alike, word for word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safeconduct.policy import Bundle, Embedded, EngineFailed, document, known_data
from safeconduct.policy.rego import ENTRY_POINT
from tests.fixtures.opa import UNDEFINED, Opa, OpaError, opa_library

from .builders import a_request, at_once, some_facts
from .strategies import host_data, inputs

pytestmark = pytest.mark.slow

SHIPPED = Bundle.shipped()
PATH = ENTRY_POINT.removeprefix("data.")
thousands = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def library() -> Path:
    found, why = opa_library()
    if found is None:
        pytest.skip(why)
    return found


class Both:
    """One bundle in both engines."""

    def __init__(self, library: Path, bundle: Bundle) -> None:
        self._embedded = Embedded(bundle)
        self._opa = Opa(library)
        for file, text in bundle.modules:
            self._opa.module(file, text)
        self._opa.data(bundle.data)

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
            return self._opa.ask(PATH, raw)
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
    assert seen.total() > 2000
    assert len(seen) > 15, seen
    assert seen["allowed"] > 20, seen
