"""Checks rules, runs their tests, and decides single questions for whoever writes rules."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import yaml

from safeconduct.app import own_failures, unheard, words_of_calls
from safeconduct.cli.failures import USERS, Failed
from safeconduct.cli.output import Out, complain, several
from safeconduct.core.canonical import StrictJSONError, canonical_bytes, parse
from safeconduct.core.decision import Decision
from safeconduct.core.model import AccessRequest, Caller, Level, Resource, Value
from safeconduct.policy import (
    Bundle,
    BundleError,
    Embedded,
    Facts,
    HostPolicy,
    Input,
    Pdp,
    computed,
    decide_given,
    deciding_rules,
    input_schema,
    read_scenario,
    tests_of,
    unread_files,
    without_type,
)
from safeconduct.settings import suggestion

_MOST_BYTES = 1024 * 1024
_REQUEST = ("caller", "action", "resource", "arguments")
_LEVELS = (("consent", "level"), ("tool", "level"))
_UNREAD = (
    "is not read; data is data.yaml or data.json at the top, and scenarios end with .scenario.yaml"
)
_ADVICE = "See the input of decisions in docs/policies.md, or write `given:` as in a scenario."


class _Request(Value, frozen=True):
    """The request's part of a facts file, spelled as rules see it."""

    caller: Caller
    action: str
    resource: Resource
    arguments: dict[str, Any] = {}


def check(directory: Path, *, as_json: bool) -> None:
    """Judge and compile a directory."""
    bundle = _bundle(directory)
    own = [path for path, _ in bundle.own_modules]
    untyped, notes = without_type(bundle.own_modules), _notes(bundle, directory)
    for name in untyped:
        complain(
            f"Rules read {name} and say no type: where a tool's schema leaves it open, anything "
            f"passes. Annotate it: `# METADATA`, `# schemas: [{{{name}: {{type: string}}}}]`"
        )
    for place in (by_name := computed(bundle.own_modules)):
        complain(
            f"{place}: the rules read arguments by names that are not written out there. One that "
            "differs by case or width from the name they mean is not recognised where a tool's "
            "schema does not declare it; write names out, or have the schema closed"
        )
    Out(as_json=as_json).sentence(
        f"{several(len(own), 'file')} may be used; "
        f"with the built-in rules they are bundle {bundle.digest}.",
        files=own,
        untyped=untyped,
        computed=by_name,
        notes=notes,
        bundle=bundle.digest,
    )


def run_tests(directory: Path, *, as_json: bool) -> int:
    """Run a directory's tests; returns the exit code."""
    bundle = _bundle(directory)
    failures = own_failures(bundle)
    try:
        tests = [name for place, name in tests_of(bundle) if place.startswith("host/")]
        tests += [case for file, text in bundle.scenarios for case in _cases(file, text)]
    except BundleError:  # among the failures already
        tests = []
    _notes(bundle, directory)
    for failure in failures:
        complain(f"{failure.test or 'rules'}: {failure.message}")
    Out(as_json=as_json).sentence(
        f"{several(len(tests), 'test')}, {several(len(failures), 'failure')}.",
        tests=tests,
        failures=msgspec.to_builtins(failures),
    )
    return USERS if failures else 0


def evaluate(facts: Path, *, directory: Path | None, as_json: bool) -> None:
    """Decide what a file describes."""
    members = _members(facts)
    bundle = Bundle.shipped() if directory is None else _bundle(directory)
    _notes(bundle, directory)
    decision = _decided(facts, members, bundle)
    document = Input(b"", decision.basis, decision.arguments).document
    rules = list(deciding_rules(bundle, document)) if decision.basis else []
    levels = {
        "required_level": decision.required_level and decision.required_level.word,
        "effective_level": decision.effective_level and decision.effective_level.word,
    }
    out = Out(as_json=as_json)
    out.sentence(
        f"{'Allowed' if decision.allow else 'Denied'}: {decision.reason}",
        allow=decision.allow,
        reason=decision.reason,
        message=decision.message,
        step_up=decision.step_up,
        bundle=decision.bundle,
        rules=rules,
        **levels,
    )
    if not as_json:
        out.line(f"Message: {decision.message or '-'}")
        for name, word in levels.items():
            out.line(f"{name.replace('_', ' ').capitalize()}: {word or '-'}")
        for rule in rules:
            out.line(f"Rule: {rule}")
        if decision.step_up:
            out.line("The person could allow it by consenting again.")


def _notes(bundle: Bundle, directory: Path | None) -> tuple[str, ...]:
    """Say what nobody hears of the rules, and return it."""
    unread = () if directory is None else unread_files(directory)
    notes = (*unheard(bundle), *(f"{path}: {_UNREAD}" for path in unread))
    for note in notes:
        complain(f"Note: {note}")
    return notes


def schema(*, as_json: bool) -> None:
    """Print the JSON schema of the input document."""
    Out(as_json=as_json).value(input_schema())


def _cases(file: str, text: str) -> list[str]:
    scenario = read_scenario(file, text)
    return [f"{scenario.scenario}: {case.name}" for case in scenario.cases]


def _bundle(directory: Path) -> Bundle:
    try:
        return Bundle.shipped().with_directory(directory)
    except BundleError as error:
        raise Failed(f"These rules cannot be used: {error.public}") from error


def _decided(file: Path, members: dict[str, Any], bundle: Bundle) -> Decision:
    """Decide facts as rules see them, or what a scenario gives."""
    try:
        if "given" in members:
            return decide_given(members["given"], bundle)
        request, known = _question(file, members)
        policy = HostPolicy(engine=Embedded(bundle), bundle=bundle.digest)
    except BundleError as error:
        raise Failed(f"{file}: {error.public}") from error
    return asyncio.run(Pdp(lambda _: policy).decide(request, known))


def _question(file: Path, members: dict[str, Any]) -> tuple[AccessRequest, Facts]:
    try:
        request = msgspec.convert(
            {name: members.pop(name) for name in _REQUEST if name in members}, _Request
        )
        _read_levels(members)
        for absent in ("session", "consent", "ceiling"):
            members.setdefault(absent, None)  # which denies
        members.setdefault("relations", ())
        facts = msgspec.convert(members, Facts)
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        raise Failed(f"{file}: {error}. {_ADVICE}") from error
    spelled = {("action",): request.action, ("resource", "kind"): request.resource.kind}
    for path, known in words_of_calls().items():
        if spelled[path] not in known:
            near = suggestion(spelled[path], known)
            complain(f"Note: {file}: no call has the {' '.join(path)} {spelled[path]}{near}")
    return (
        AccessRequest(
            caller=request.caller,
            action=request.action,
            resource=request.resource,
            arguments=request.arguments,
        ),
        facts,
    )


def _members(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        raw = stream.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise Failed(f"{file}: more than {_MOST_BYTES} bytes")
    try:
        text = raw.decode()
        found = parse(raw) if file.suffix == ".json" else _yaml(text)
    except (StrictJSONError, yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise Failed(f"{file}: this is neither YAML nor JSON that can be read") from error
    if not isinstance(found, dict):
        raise Failed(f"{file}: write a mapping with the members of a decision's input")
    return found


def _yaml(text: str) -> Any:
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
        raise ValueError("aliases are not allowed")
    return parse(canonical_bytes(yaml.safe_load(text)))


def _read_levels(members: dict[str, Any]) -> None:
    """Turn the words for levels, as rules see them, into levels."""
    for outer, inner in _LEVELS:
        holder = members.get(outer)
        if isinstance(holder, dict) and inner in holder:
            holder[inner] = int(Level.parse(str(holder[inner])))
    if members.get("ceiling") is not None:
        members["ceiling"] = int(Level.parse(str(members["ceiling"])))
