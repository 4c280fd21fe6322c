"""OPA's own cases, as rules of a host: each gives OPA's answer, or is refused with a reason.

`opa_cases.yaml` names the cases that do not simply hold, by what becomes of them, and every
such word is one that docs/policies.md explains.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from safeconduct.policy import BundleError
from safeconduct.policy.bundle import _data
from safeconduct.policy.inspection import judge
from safeconduct.policy.machines import host_modules
from safeconduct.policy.rego import interpreted
from safeconduct.policy.vetting import extension
from tests.fixtures.opa_cases import Case, Converted, converted, every_case, opa_cases

pytestmark = pytest.mark.slow

HOLDS = "holds"
EXPECTED = Path(__file__).with_name("opa_cases.yaml")
GLUE = ("extensions.rego", extension({"deny": ("safeconduct.host.asked",)}))
# What a refusal says, by the word for it.
REFUSALS = {
    "left out or unknown built-in": "is not available to a host's rules",
    "with": "`with` is for tests",
    "keyword of the future": "cannot be imported here",
    "string interpolation": "is not supported; write `sprintf",
    "head with several keys": "a rule's head has one key at most",
    "map of sets": "a map of sets is not supported",
    "dotted default": "a default is for a name alone",
    "dotted function": "a function's name has no dots",
    "key and value in": "as a condition means something else for sets",
    "rego v0": "this is Rego v0",
    "long line": "characters; at most 1024 are taken",
    "keyword as a name": "unexpected keyword",
    "data beside rules": "the name safeconduct belongs to the rules",
    "all of data": "say which document below data is read",
    "recursion": "refers to itself",
    "name that is two things": "rename",
    "deny that is no set": "deny must be a set",
    "choice of nothing": "a choice of nothing",
    "object in a pattern": "an object in a pattern means something else",
    "other verbs": "a format has %s",
    "not to be parsed": "expecting |invalid number|is unsafe|shadows|is imported",
}


def refused(problem: str) -> str:
    return next((word for word, said in REFUSALS.items() if re.search(said, problem)), problem)


def outcome(case: Case) -> str:
    """Return what becomes of a case."""
    try:
        rules = converted(case)
        judge(rules.modules)
        _data({"data.json": json.dumps(rules.data).encode()})
        answer = answered(rules)
    except BundleError as error:
        return refused(error.public)
    except RuntimeError as error:
        unfit = "values that do not fit the format" in str(error)
        word = "values that do not fit" if unfit else "denied instead of undefined"
        return HOLDS if case.fails else word
    if case.fails:
        # OPA itself says undefined unless it was told to be strict.
        return HOLDS if case.only_strictly and not answer else "allowed instead of failing"
    if comparable(answer) == comparable(case.wanted or []):
        return HOLDS
    if case.input_term:
        return "input that is no JSON"  # here it always is
    return "differs" if case.input_given or "input" not in "".join(case.modules) else "no input"


def answered(rules: Converted) -> list[Any]:
    """Ask as decisions do.

    Raises:
        RuntimeError: If there is no answer.
    """
    loaded = interpreted((*host_modules(rules.modules), GLUE), json.dumps(rules.data), ("deny",))
    (found,) = json.loads(loaded.collect(rules.document.decode()).text)["deny"]
    return list(found)


def comparable(value: Any) -> Any:
    """Sets come in some order, numbers as floats or not, keys as text."""
    match value:
        case bool() | None | str():
            return value
        case int() | float():
            return float(value)
        case list():
            return sorted((comparable(each) for each in value), key=json.dumps)
        case _:
            return {str(key): comparable(each) for key, each in sorted(value.items(), key=str)}


def listed() -> dict[str, str]:
    """Read what is expected of the cases that do not simply hold, by their ids."""
    found = {}
    for word, files in yaml.safe_load(EXPECTED.read_text(encoding="utf-8")).items():
        for file, numbers in files.items():
            for part in str(numbers).split(","):
                first, _, last = part.partition("-")
                for number in range(int(first), int(last or first) + 1):
                    found[f"{file}#{number}"] = word
    return found


def written(outcomes: dict[str, str]) -> str:
    """Write outcomes as the file has them: to be looked through when the cases' version changes."""
    by_word: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for case, word in outcomes.items():
        file, _, number = case.partition("#")
        if word != HOLDS:
            by_word[word][file].append(int(number))
    shown = {
        word: {file: ",".join(_ranges(numbers)) for file, numbers in files.items()}
        for word, files in sorted(by_word.items())
    }
    return yaml.safe_dump(shown, sort_keys=False)


def _ranges(numbers: list[int]) -> list[str]:
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return [str(first) if first == last else f"{first}-{last}" for first, last in ranges]


@pytest.mark.timeout(600)
@pytest.mark.requirement("Z-20", "Z-37")
def test_opas_own_cases_hold_or_are_refused_as_documented() -> None:
    folder, why = opa_cases()
    if folder is None:
        pytest.skip(why)

    outcomes = {case.id: outcome(case) for case in every_case(folder)}

    assert len(outcomes) == 2400
    assert written(outcomes) == written({case: listed().get(case, HOLDS) for case in outcomes})
