"""Forms of rules that do not mean here what they mean in OPA, and how to write them instead.

Each was found by putting it to both. A host's module with one of them is refused when it is
offered; docs/policies.md lists them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from safeconduct.policy.rego import BundleError

if TYPE_CHECKING:
    from collections.abc import Collection

Path = tuple[str, ...]
Tree = dict[str, Any]

_VALUE, _SET, _OBJECT, _FUNCTION = "a value", "a set", "an object", "a function"


def check_tree(file: str, tree: Tree) -> None:
    """Refuse forms that one rule shows.

    Raises:
        BundleError: At the first; the message names file and line.
    """
    for rule in tree["rules"]:
        if "Default" in rule:
            _check_default(file, rule["Default"])
        else:
            _check_head(file, rule["Spec"]["head"])
    for statement in found(tree["rules"], "with_mods"):
        if statement["with_mods"]:
            raise BundleError(
                f"{file}:{statement['span']['line']}: `with` is for tests (*_test.rego); "
                "here, write a function of what varies"
            )
    for each in found(tree["rules"], "Membership"):
        if each["Membership"].get("key"):
            raise BundleError(
                f"{file}:{each['Membership']['span']['line']}: `key, value in collection` as a "
                "condition means something else for sets; write `collection[key] == value`"
            )


def kinds_of(tree: Tree) -> Iterator[tuple[str, str, int]]:
    """Yield what each rule makes its name: (name, kind, line)."""
    for rule in tree["rules"]:
        if "Default" in rule:
            spec = rule["Default"]
            kind = _FUNCTION if spec.get("args") else _VALUE
            name, span = _root(spec["refr"])
        else:
            kind, name, span = _of_head(rule["Spec"]["head"])
        yield name, kind, span["line"]


def _of_head(head: Tree) -> tuple[str, str, Tree]:
    ((form, parts),) = head.items()
    name, span = _root(parts["refr"])
    if form == "Func":
        return _FUNCTION, name, span
    if form == "Set" and parts.get("key") and "Var" in parts["refr"]:
        return _SET, name, span
    return (_VALUE if "Var" in parts["refr"] else _OBJECT), name, span


def _check_default(file: str, spec: Tree) -> None:
    if "Var" not in spec["refr"]:
        raise BundleError(
            f"{file}:{spec['span']['line']}: a default is for a name alone; "
            "write `default name := ...`"
        )


def _check_head(file: str, head: Tree) -> None:
    ((form, parts),) = head.items()
    name, span = _root(parts["refr"])
    where = f"{file}:{span['line']}"
    depth = _depth(parts["refr"])
    if form == "Func" and depth:
        raise BundleError(
            f"{where}: a function's name has no dots here; write `{name}(...) := ...`"
        )
    if form == "Set" and parts.get("key") and depth:
        raise BundleError(
            f"{where}: a map of sets is not supported; collect pairs instead, "
            f"`{name} contains [key, item] if ...`, and ask `[key, item] in {name}`"
        )
    if depth > 1:
        raise BundleError(
            f"{where}: a rule's head has one key at most; write `{name}[key] := {{...}} if ...` "
            "with an object that holds the rest"
        )


def check_names(read: Collection[tuple[str, Path, Tree]]) -> None:
    """Refuse names that are two things at once.

    Args:
        read: Each file with its package and its tree.

    Raises:
        BundleError: At the first.
    """
    packages = {package for _, package, _ in read}
    seen: dict[Path, str] = {}
    defaults: set[Path] = set()
    for file, package, tree in read:
        for each in (rule["Default"] for rule in tree["rules"] if "Default" in rule):
            name, span = _root(each["refr"])
            if (*package, name) in defaults:
                raise BundleError(
                    f"{file}:{span['line']}: {name} has another default already; write one"
                )
            defaults.add((*package, name))
        for name, kind, line in kinds_of(tree):
            place = (*package, name)
            if any(other[: len(place)] == place for other in packages):
                raise BundleError(f"{file}:{line}: {name} is a rule and also a package; rename it")
            if seen.setdefault(place, kind) != kind:
                raise BundleError(
                    f"{file}:{line}: {name} is {kind} here and {seen[place]} elsewhere; rename one"
                )


def found(tree: Any, member: str) -> Iterator[Tree]:
    """Yield every mapping in a tree that has this member."""
    match tree:
        case dict():
            if member in tree:
                yield tree
            yield from found(list(tree.values()), member)
        case list():
            for each in tree:
                yield from found(each, member)
        case _:
            pass


def _depth(refr: Tree) -> int:
    """Count the keys of a head."""
    ((form, inner),) = refr.items()
    return 0 if form == "Var" else 1 + _depth(inner["refr"])


def _root(refr: Tree) -> tuple[str, Tree]:
    ((form, inner),) = refr.items()
    return (str(inner["value"]), inner["span"]) if form == "Var" else _root(inner["refr"])
