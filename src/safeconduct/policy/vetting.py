"""Judging a host's modules in a process of its own, where a crash or a hang costs nothing.

Parsing and compiling deeply nested or recursive rules can end the engine's process or keep it
busy for ever. Here that ends a child with little time and memory, and becomes a refusal.
"""

from __future__ import annotations

import contextlib
from typing import Any

from safeconduct.policy.elsewhere import BroughtDown, asked
from safeconduct.policy.inputs import check_inputs
from safeconduct.policy.inspection import judge
from safeconduct.policy.machines import host_modules, is_built_in
from safeconduct.policy.rego import BundleError, Modules, compiled, explain, interpreter
from safeconduct.policy.written_obligations import check_obligations
from safeconduct.relations import SchemaError, check_kept

CPU_SECONDS = 5
_EMPTY_INPUT = "{}"
_PLACE = "data.safeconduct.vetting"
_HERE = ("vetting.rego", "package safeconduct.vetting\n\nhere := true\n")

Packages = dict[str, tuple[str, ...]]


def judged_elsewhere(base: Modules, added: Modules, data: dict[str, Any]) -> Packages:
    """Judge and compile `added` on top of `base`; return the packages to collect from.

    Raises:
        BundleError: If a module is not allowed, does not compile or brings the child down.
    """
    question = {"base": base, "added": added, "data": data}
    try:
        answer = asked("vetting", question)
    except BroughtDown as error:
        raise BundleError(_brought_down(added), *error.args) from None
    if answer["problem"] is not None:
        raise BundleError(answer["problem"])
    return {name: tuple(packages) for name, packages in answer["packages"].items()}


def refused_today(own: Modules, schema: str) -> str:
    """Say why a host's rules that are in force would not be taken any more, or ""."""
    try:
        judge(own)
        check_inputs(own)
        check_obligations(own)
        check_kept(schema)
    except (BundleError, SchemaError) as error:
        return error.public
    return ""


def extension(packages: Packages) -> str:
    """Write the module that collects what the host's packages deny and oblige to."""
    rules = [
        f"{name} contains each if some each in data.{package}.{name}"
        for name, found in sorted(packages.items())
        for package in found
    ]
    return "\n\n".join(["package safeconduct.extensions", "import rego.v1", *rules]) + "\n"


def _brought_down(added: Modules) -> str:
    files = ", ".join(file for file, _ in added)
    return f"{files}: the policy engine cannot cope with these rules (nesting or recursion?)"


def answer(question: dict[str, Any]) -> dict[str, object]:
    base, added = ((tuple(map(tuple, question[name]))) for name in ("base", "added"))
    try:
        packages = judge(added)
        check_inputs(added)
        check_obligations(added)
        glue = (("extensions.rego", extension(packages)),)
        _tried((*base, *added, *glue), question["data"])
    except BundleError as error:
        return {"problem": error.public, "packages": {}}
    return {"problem": None, "packages": packages}


def _tried(modules: Modules, data: dict[str, Any]) -> None:
    """Load the rules and answer one empty question.

    The interpreter looks through all modules before it answers the first: only then it notices a
    variable that nothing binds, in any rule. What the host's rules answer to an empty input, or
    that they fail on it, means nothing.
    """
    engine = interpreter((*host_modules(modules), _HERE), data)
    try:
        engine.set_input_json(_EMPTY_INPUT)
        engine.eval_rule_as_json(f"{_PLACE}.here")
    except RuntimeError as error:
        raise BundleError(explain(error)) from None
    with contextlib.suppress(RuntimeError):
        engine.eval_query_as_json("data.safeconduct.extensions")
    compiled(tuple(each for each in modules if is_built_in(each[0])), data)
