"""The Rego engine at arm's length: compiling rules, and making sense of how it fails."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import regorus

from safeconduct.core.canonical import canonical_bytes
from safeconduct.core.errors import Code, GatewayError
from safeconduct.policy.interpreted import HostRules

ENTRY_POINT = "data.safeconduct.decision.answer"
_PLACE = re.compile(r"--> (?P<file>[^\n]+?):(?P<line>\d+):\d+\n")
_CAUSE = re.compile(r"error: (?P<cause>[^\n]+)")

Modules = tuple[tuple[str, str], ...]


class BundleError(GatewayError):
    """Rules or data that cannot be used; the message names the file and, if known, the line."""

    code = Code.INVALID_PARAMS


def compiled(
    modules: Modules, data: dict[str, Any], entry_points: Sequence[str] = (ENTRY_POINT,)
) -> regorus.Rvm:
    """Compile rules to a machine. It belongs to the thread that asked for it.

    Raises:
        BundleError: If the rules do not compile.
    """
    text = canonical_bytes(data).decode()
    try:
        program = regorus.Program.compile_from_modules(text, list(modules), list(entry_points))
        machine = regorus.Rvm()
        machine.load_program(program)
        machine.set_data_json(text)
    except RuntimeError as error:
        raise BundleError(explain(error)) from None
    except BaseException as error:
        if not is_panic(error):
            raise
        raise BundleError("a rule is too large for the policy engine") from None
    return machine


def interpreted(modules: Modules, data: str, collected: tuple[str, ...]) -> HostRules:
    """Load a host's rules into the interpreter. They belong to the thread that asked.

    Raises:
        BundleError: If a module is not Rego.
    """
    try:
        return HostRules(modules, data, collected)
    except RuntimeError as error:
        raise BundleError(explain(error)) from None


def interpreter(modules: Modules, data: dict[str, Any]) -> regorus.Engine:
    """Load rules into the interpreter as it is, which answers about any rule and knows `with`.

    Raises:
        BundleError: If a module is not Rego.
    """
    engine = regorus.Engine()
    try:
        for file, text in modules:
            engine.add_policy(file, text)
        engine.add_data_json(canonical_bytes(data).decode())
    except RuntimeError as error:
        raise BundleError(explain(error)) from None
    return engine


def explain(error: RuntimeError) -> str:
    """Turn the engine's report, which may carry a stack, into `file:line: cause`."""
    text = str(error)
    place, cause = _PLACE.search(text), _CAUSE.search(text)
    reason = cause["cause"] if cause else text.strip().partition("\n")[0][:200]
    return f"{place['file']}:{place['line']}: {reason}" if place else reason


def place_of(text: str) -> str:
    """Return where the engine's report says it happened, as `file:line`, or ""."""
    place = _PLACE.search(text)
    return f"{place['file']}:{place['line']}" if place else ""


def is_panic(error: BaseException) -> bool:
    """Tell the engine's own panics, which are no `Exception`, from a cancelled task or Ctrl-C."""
    return type(error).__name__ == "PanicException"
