"""Holds calls and results against the schemas their tool was reviewed with.

What a rule decided on must be what the server works with: servers of the SDKs read a text where
an object is declared, and servers that ignore case read `Amount` for `amount`. Compiled once for
each reviewed schema, when it is first used; nothing here knows the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from safeconduct.core.derived import Derived
from safeconduct.core.flat_schema import Scalars
from safeconduct.core.json_schema import Validator
from safeconduct.core.schema_faults import Exhausted, Fault, Run
from safeconduct.core.schema_shape import Shape, folded
from safeconduct.policy import OwnReads, binding_path
from safeconduct.upstreams import Server, Strictness, Tool, ToolSchemas

MOST_RESULT_BYTES = 256 * 1024
_ALIKE = "differs from another name by case or width alone"
_TOO_LONG = "take too long to be looked through"
_ROOT, _RESULT = "arguments", "structuredContent"
Path = tuple[str, ...]


class Unfit(NamedTuple):
    """What does not fit, as a sentence part, and whether that refuses the call."""

    problem: str
    refuses: bool


class Fitting:
    """Judges arguments and results of tools."""

    def __init__(self) -> None:
        self._fits = Derived(_Fit)

    def arguments(
        self,
        server: Server,
        tool: Tool,
        arguments: dict[str, Any],
        *,
        spelled: bytes,
        era: str,
        reads: OwnReads,
    ) -> Unfit | None:
        """Return what of a call's arguments does not fit, or None if everything does.

        Args:
            server: Says what becomes of it.
            tool: As it was reviewed.
            arguments: As they were read.
            spelled: The same as JSON that escapes no letter.
            era: The one they are sent in, by whose spelling the server reads them.
            reads: What the host's own rules read.
        """
        if server.arguments == "off":
            return None
        fit = self._fit(tool, era)
        plan = fit.plan(tool, reads)
        if plan.holds(arguments):
            return None
        if b'"__proto__"' in spelled or b'"prototype"' in spelled:
            fault = fit.inherited(arguments)
            if fault is not None:  # it may reach every later call, those of others too
                return Unfit(fault.spelled(_ROOT), refuses=server.arguments != "note")
        fault = plan.fault(arguments)
        if fault is None:
            return None
        strict: Strictness = server.arguments or ("refuse" if plan.reads(arguments) else "note")
        return Unfit(fault.spelled(_ROOT), refuses=strict == "refuse")

    def results_matter(self, server: Server, tool: Tool, era: str) -> bool:
        """Say whether a structured result is looked at at all."""
        return server.results != "off" and self._fit(tool, era).output is not None

    def result(self, server: Server, tool: Tool, result: object, *, era: str) -> Unfit | None:
        """Return what of a structured result does not fit; `result` is as it was parsed."""
        output = self._fit(tool, era).output
        fault = None if output is None else output.fault(result)
        if fault is None:
            return None
        return Unfit(fault.spelled(_RESULT), refuses=server.results == "refuse")

    def _fit(self, tool: Tool, era: str) -> _Fit:
        schemas = tool.schemas.get(era) or tool.schemas.get("") or _NONE
        return self._fits(schemas)


class _Fit:
    """One spelling's schemas, compiled; and what has to be looked at for those who read it."""

    def __init__(self, schemas: ToolSchemas) -> None:
        self.input = Validator(True if schemas.input is None else schemas.input)
        self.shape = Shape.of(schemas.input)
        self.output = None if schemas.output is None else Validator(schemas.output)
        self.scalars = Scalars.of(schemas.input)
        self._plan: tuple[Tool, OwnReads, _Plan] | None = None

    def inherited(self, arguments: dict[str, Any]) -> Fault | None:
        """Return what of arguments would be no member of its own to a server in JavaScript."""
        try:
            return self.shape.inherited(arguments, Run())
        except (Exhausted, RecursionError):
            return Fault((), _TOO_LONG)

    def plan(self, tool: Tool, reads: OwnReads) -> _Plan:
        known = self._plan
        if known is None or known[0] is not tool or known[1] is not reads:
            known = self._plan = (tool, reads, _Plan(self, tool, reads))
        return known[2]


class _Plan:
    """What is looked at for one tool under one host's rules."""

    def __init__(self, fit: _Fit, tool: Tool, reads: OwnReads) -> None:
        self._input = fit.input
        self._shape = fit.shape
        bound = tuple(map(binding_path, tool.bindings))
        self._paths = (*bound, *sorted(reads.arguments))
        self._first = frozenset(folded(path[0]) for path in self._paths if path)
        self._always = bool(bound) or () in self._paths or self._may_declare(self._first)
        self._known = frozenset({*reads.names, *(name for path in bound for name in path)})
        self._folded = {folded(name): name for name in self._known}
        self._expected = _expectations(reads.expects)
        self._scalars = fit.scalars
        if fit.scalars is None or self._expected or fit.scalars.may_be_taken_for(self._known):
            self._scalars = None

    def reads(self, arguments: dict[str, Any]) -> bool:
        """Say whether a binding or a rule reads arguments of this tool, or any of these."""
        return self._always or not self._first.isdisjoint(map(folded, arguments))

    def holds(self, arguments: dict[str, Any]) -> bool:
        """Say whether arguments fit, the short way; others may fit too."""
        return self._scalars is not None and self._scalars.hold(arguments)

    def fault(self, arguments: dict[str, Any]) -> Fault | None:
        """Return the first thing that does not fit."""
        fault = self._input.fault(arguments)
        if fault is not None:
            return fault
        try:
            run = Run()
            return self._shape.twin(arguments, run) or self._misread(arguments, run)
        except (Exhausted, RecursionError):
            return Fault((), _TOO_LONG)

    def _may_declare(self, first: Iterable[str]) -> bool:
        declared = frozenset(map(folded, self._shape.names))
        return bool(first) and (not declared or not declared.isdisjoint(first))

    def _misread(self, arguments: dict[str, Any], run: Run) -> Fault | None:
        """Look at what is read: no twin on the way, and the type that the rule expects."""
        for path in self._paths:
            fault = self._twin_on(arguments, path, run)
            if fault is not None:
                return fault
        for path, validator in self._expected:
            for value in _at(arguments, path):
                fault = validator.fault(value)
                if fault is not None:
                    return Fault((*path, *fault.path), fault.problem)
        return None

    def _twin_on(self, value: Any, path: Path, run: Run) -> Fault | None:
        if not path:
            return self._twin_below(value, run)
        if type(value) is not dict:
            return None
        run.spend(len(value))
        first, wanted = path[0], folded(path[0])
        for name in value:
            if name != first and folded(name) == wanted:
                return Fault((name,), _ALIKE)
        fault = self._twin_on(value[first], path[1:], run) if first in value else None
        return None if fault is None else fault.under(first)

    def _twin_below(self, value: Any, run: Run) -> Fault | None:
        """Look for names alike in everything below, and for twins of names that rules use."""
        if type(value) is list:
            return self._twin_in(enumerate(value), run)
        if type(value) is not dict:
            return None
        run.spend(len(value))
        seen: set[str] = set()
        for name in value:
            alike = folded(name)
            if alike in seen or (alike in self._folded and name not in self._known):
                return Fault((name,), _ALIKE)
            seen.add(alike)
        return self._twin_in(value.items(), run)

    def _twin_in(self, items: Iterable[tuple[str | int, Any]], run: Run) -> Fault | None:
        for step, item in items:
            run.spend(1)
            fault = self._twin_below(item, run) if type(item) in {dict, list} else None
            if fault is not None:
                return fault.under(step)
        return None


def _at(value: Any, path: Path) -> Iterator[Any]:
    """Yield what a path leads to, if it is there."""
    for name in path:
        if type(value) is not dict or name not in value:
            return
        value = value[name]
    yield value


def _expectations(expects: Iterable[tuple[Path, Any]]) -> list[tuple[Path, Validator]]:
    """Return what has to hold where, the shorter paths first.

    Whatever the tool's own schema says, as a branch of it may allow more than the rule knows. What
    is expected of a member is expected of an object that has it: what stands there instead would
    be read as one by servers that parse texts.
    """
    an_object = Validator({"type": "object"})
    found: dict[Path, list[Validator]] = {}
    for path, schema in expects:
        for length in range(1, len(path)):
            found.setdefault(path[:length], []).append(an_object)
        found.setdefault(path, []).append(Validator(schema))
    return [(path, each) for path in sorted(found, key=len) for each in found[path]]


_NONE = ToolSchemas()
