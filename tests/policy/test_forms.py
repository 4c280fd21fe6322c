"""A host's rules mean what OPA says they mean, whatever form they have, or are refused."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from safeconduct.policy import BundleError
from safeconduct.policy.exactness import edited, exact, negations
from safeconduct.policy.inspection import judge, syntax_tree
from safeconduct.policy.members import MEMBERS
from safeconduct.policy.rego import Modules, interpreter
from tests.fixtures.opa import UNDEFINED, Opa, OpaError, opa_library

from .forms import DATA, MAIN, UTIL, Forms

pytestmark = pytest.mark.slow

FAILED, NOTHING = "failed", "undefined"
BUILT_IN = "a built-in failed"
PROBE = "safeconduct.host.probe"
SEEDS = 400


@pytest.fixture(scope="module")
def library() -> Path:
    found, why = opa_library()
    if found is None:
        pytest.skip(why)
    return found


def probe(modules: Modules) -> tuple[str, list[str]]:
    """Write a module that reads every rule of others, and the package as a document."""
    reads = [f"doc := data.{UTIL}"]
    for (_, text), package in zip(modules, (UTIL, MAIN), strict=True):
        functions = set(re.findall(r"^(?:default )?([ur]\d)\(", text, re.MULTILINE))
        names = dict.fromkeys(re.findall(r"^(?:default )?([ur]\d)\b", text, re.MULTILINE))
        reads += [f"m{name} := data.{package}.{name}" for name in names if name not in functions]
    return f"package {PROBE}\n\n" + "\n\n".join(reads) + "\n", [
        each.split(" ")[0] for each in reads
    ]


def spelled_for_opa(file: str, text: str) -> str:
    raw = text.encode()
    return edited(raw, negations(file, raw, syntax_tree(file, text)["rules"]))


def told(value: Any) -> Any:
    """Make values comparable: sets come as arrays in some order, numbers as they like."""
    match value:
        case bool() | None | str():
            return value
        case int() | float():
            return float(value)
        case list():
            return sorted((told(each) for each in value), key=json.dumps)
        case _:
            return dict(sorted((_key(key), told(each)) for key, each in value.items()))


def _key(text: str) -> str:
    """Spell a key that is an array or an object, written as text, in one way."""
    return json.dumps(told(json.loads(text))) if text[:1] in {"[", "{"} else text


class Both:
    """The same modules in OPA and as they decide here."""

    def __init__(self, library: Path, modules: Modules) -> None:
        text, self.reads = probe(modules)
        everything = (*modules, ("host/probe.rego", text))
        self._opa = Opa(library)
        for file, each in everything:
            self._opa.module(file, spelled_for_opa(file, each))
        self._opa.data(DATA)
        self._modules = (*exact(everything), MEMBERS)
        self._engine = interpreter(self._modules, DATA)

    def compiles(self) -> bool:
        """Whether OPA takes the modules at all."""
        try:
            self._opa.ask(PROBE, b"{}")
        except OpaError as error:
            return "prepare_error" not in str(error)
        return True

    def answers(self, given: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
        raw = json.dumps(given)
        for read in self.reads:
            yield read, self._theirs(read, raw), self._ours(read, raw)

    def close(self) -> None:
        self._opa.close()

    def _theirs(self, read: str, raw: str) -> Any:
        try:
            answer = self._opa.ask(f"{PROBE}.{read}", raw.encode())
        except OpaError as error:
            return FAILED if "conflict" in str(error) else BUILT_IN
        return NOTHING if answer is UNDEFINED else told(answer)

    def _ours(self, read: str, raw: str) -> Any:
        self._engine.set_input_json(raw)
        try:
            answer = json.loads(self._engine.eval_rule_as_json(f"data.{PROBE}.{read}"))
        except RuntimeError:
            self._engine = interpreter(self._modules, DATA)
            return FAILED
        return NOTHING if answer == "<undefined>" else told(answer)


@pytest.mark.timeout(400)
@pytest.mark.requirement("Z-20", "Z-37")
def test_every_form_that_is_taken_means_what_opa_says(library: Path) -> None:
    """What fails here and not there refuses: OPA may not have come to where it fails.

    A built-in that fails there need not be asked here, when what stands before it decides.
    """
    seen: Counter[str] = Counter()
    for seed in range(SEEDS):
        forms = Forms(seed, everything=seed % 4 == 0)
        modules = forms.modules()
        try:
            judge(modules)
        except BundleError:
            seen["refused"] += 1
            continue
        both = Both(library, modules)
        try:
            if not both.compiles():
                seen["no Rego to OPA"] += 1
                continue
            for given in (forms.input() for _ in range(5)):
                for read, theirs, ours in both.answers(given):
                    only_here = ours == FAILED and theirs not in (FAILED, BUILT_IN)
                    seen["failed here" if only_here else "alike"] += 1
                    if theirs != BUILT_IN:
                        assert ours in (theirs, FAILED), (seed, read, given, theirs, ours, modules)
        finally:
            both.close()

    assert seen["alike"] > 2000, seen
    assert seen["failed here"] < seen["alike"] / 40, seen
    assert seen["refused"] > 30, seen
