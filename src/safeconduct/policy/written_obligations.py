"""Obligations that are written out in rules, held against the ones there are.

What the enforcement point does not know refuses the call it was put on, each time and as late as
that. Where the text says it, it is said when the rules are offered, with file and line. What a
rule computes is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from safeconduct.core.decision import Obligation
from safeconduct.policy.inspection import syntax_tree
from safeconduct.policy.rego import BundleError

if TYPE_CHECKING:
    from safeconduct.policy.rego import Modules

NAME = "obligations"
_KINDS: dict[str, Any] = {each.__struct_config__.tag: each for each in get_args(Obligation)}
_COMPUTED = object()
COMPUTED_NAME = ""  # of a member that the text does not name
Tree = dict[str, Any]
Object = dict[str, Any]


def check_obligations(modules: Modules) -> None:
    """Refuse obligations that nobody could discharge.

    Raises:
        BundleError: At the first; the message names file, line and the nearest name.
    """
    for file, text in modules:
        for rule in syntax_tree(file, text)["rules"]:
            for line, members in written(rule, NAME):
                _check(f"{file}:{line}", members)


def written(rule: Tree, name: str) -> Iterator[tuple[int, Object]]:
    """Yield the objects that a set of a name holds by its text, computed members as such.

    Written in the head, or assigned in the body to the variable that stands there.
    """
    head = rule.get("Spec", {}).get("head", {}).get("Set")
    if head is None or head["refr"].get("Var", {}).get("value") != name or not head.get("key"):
        return
    key = head["key"]
    places = [key]
    if "Var" in key:
        bodies = rule["Spec"]["bodies"]
        places = [each["rhs"] for each in _assigned(bodies, str(key["Var"]["value"]))]
    for each in places:
        if "Object" in each:
            yield int(each["Object"]["span"]["line"]), _members(each["Object"])


def _assigned(tree: Any, name: str) -> Iterator[Tree]:
    match tree:
        case {"AssignExpr": {"lhs": {"Var": {"value": str(value)}}} as found} if value == name:
            yield found
        case dict():
            yield from _assigned(list(tree.values()), name)
        case list():
            for each in tree:
                yield from _assigned(each, name)
        case _:
            pass


def _members(tree: Tree) -> Object:
    names = [_value(name) for _, name, _ in tree["fields"]]
    values = [_value(value) for _, _, value in tree["fields"]]
    return {
        name if isinstance(name, str) else COMPUTED_NAME: value
        for name, value in zip(names, values, strict=True)
    }


def _value(tree: Tree) -> Any:
    match tree:
        case {"String": {"value": value}} | {"RawString": {"value": value}}:
            return value
        case {"Number": {"value": value}} | {"Bool": {"value": value}}:
            return value
        case {"Null": _}:
            return None
        case {"Array": {"items": items}}:
            found = [_value(each) for each in items]
            return _COMPUTED if _COMPUTED in found else found
        case _:
            return _COMPUTED


def _check(where: str, members: Object) -> None:
    kind = members.pop("type", _COMPUTED)
    if kind is _COMPUTED:
        return
    if not isinstance(kind, str) or kind not in _KINDS:
        raise BundleError(f"{where}: there is no obligation {kind}{_hint(str(kind), _KINDS)}")
    fields = {each.encode_name: each for each in msgspec.structs.fields(_KINDS[kind])}
    for name, value in members.items():
        if name == COMPUTED_NAME:
            return
        if name not in fields:
            raise BundleError(f"{where}: {kind} has no member {name}{_hint(name, fields)}")
        if value is not _COMPUTED:
            _check_value(f"{where}: {name} of {kind}", value, fields[name].type)
    lacks = [name for name, each in fields.items() if each.required and name not in members]
    if lacks:
        raise BundleError(f"{where}: {kind} needs {' and '.join(lacks)}")


def _check_value(what: str, value: Any, wanted: Any) -> None:
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        raise BundleError(f"{what}: {error}") from error


def _hint(name: str, known: dict[str, Any]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there is {', '.join(sorted(known))}"
