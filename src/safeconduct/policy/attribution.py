"""Which of a host's own rules refused: the package and the lines, not only the reason they gave."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import regorus

from safeconduct.policy.inspection import read_module
from safeconduct.policy.rego import explain, is_panic

if TYPE_CHECKING:
    from safeconduct.policy.bundle import Bundle
    from safeconduct.policy.inspection import Path


def deciding_rules(bundle: Bundle, document: bytes) -> Iterator[str]:
    """Yield each `deny` of the host's that holds something for this input, or fails on it."""
    engine = _engine(bundle, document)
    for package, places in _denials(bundle).items():
        rule = f"data.{'.'.join(package)}.deny"
        try:
            denied = engine.eval_rule_as_json(rule) != "[]"
        except RuntimeError as error:
            yield f"{rule} fails: {explain(error)}"
            continue
        except BaseException as error:
            if not is_panic(error):
                raise
            # An engine that panicked is in an unknown state and never used again.
            yield f"{rule} fails: the policy engine cannot cope with it"
            engine = _engine(bundle, document)
            continue
        if denied:
            yield f"{rule} ({', '.join(places)})"


def _engine(bundle: Bundle, document: bytes) -> regorus.Engine:
    engine = bundle.interpreter()
    engine.set_input_json(document.decode())
    return engine


def _denials(bundle: Bundle) -> dict[Path, list[str]]:
    found: dict[Path, list[str]] = {}
    for file, text in bundle.own_modules:
        module = read_module(file, text)
        for rule in module.rules:
            if rule.name == "deny":
                found.setdefault(module.package, []).append(f"{file}:{rule.line}")
    return found
