"""Checking a bundle before it decides: that it compiles, and its tests and scenarios hold.

Tests are rules named `test_*` in the `*_test.rego` beside the rules. They run on the engine's
interpreter, where a host's rules decide too, in the same spelling. It has no limits, so this is
for the command line, where a runaway test costs its author a Ctrl-C, or a process of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from safeconduct.policy.failures import Failure
from safeconduct.policy.inspection import read_module
from safeconduct.policy.rego import BundleError, explain
from safeconduct.policy.scenarios import read_scenario, run_scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

    import regorus

    from safeconduct.policy.bundle import Bundle


def check_bundle(bundle: Bundle) -> tuple[Failure, ...]:
    """Compile the rules and run their tests; an empty answer means all is well."""
    try:
        engine = bundle.interpreter()
        tests = tuple(tests_of(bundle))
    except BundleError as error:
        return (Failure(test="", message=error.public),)
    failures = [
        failure for place, test in tests if (failure := _failure(engine, place, test)) is not None
    ]
    for file, text in bundle.scenarios:
        try:
            failures += run_scenario(file, read_scenario(file, text), bundle)
        except BundleError as error:
            failures.append(Failure(test="", message=error.public))
    return tuple(failures)


def tests_of(bundle: Bundle) -> Iterator[tuple[str, str]]:
    """Yield each test once as (file:line, package.test_name).

    Raises:
        BundleError: If a test file is not Rego.
    """
    seen: set[str] = set()
    for file, text in bundle.tests:
        module = read_module(file, text)
        for rule in module.rules:
            test = ".".join((*module.package, rule.name))
            if rule.name.startswith("test_") and test not in seen:
                seen.add(test)
                yield f"{file}:{rule.line}", test


def _failure(engine: regorus.Engine, place: str, test: str) -> Failure | None:
    try:
        # A clone each: an engine keeps results of one query for the next, `with` or not.
        outcome = engine.clone().eval_rule_as_json(f"data.{test}")
    except RuntimeError as error:
        return Failure(test=test, message=f"{place}: {explain(error)}")
    if outcome == "true":
        return None
    return Failure(test=test, message=f"{place}: the test is not true")
