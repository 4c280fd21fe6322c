"""A bundle made ready for an OPA server that serves many: everything moved below its digest.

An OPA server has one `data`, where packages of the same name would run into each other. So
`data.X` becomes `data.safeconduct_bundles.b2_<digest>.x.X` in every package, import and
reference, found in the syntax tree and never by searching text. The content names the place,
so gateways on other nodes put the same bytes there, and a new bundle never touches the old.

OPA takes modules one by one, and each must compile with those that are there. Rules that
another file of the package defines are therefore imported, which means the same to OPA, and a
file whose functions others call goes first. A bundle of which a part is missing must not
decide, since a missing part may be the one that refuses: each file carries a mark, the data
another, and the only rule that is asked needs them all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from safeconduct.core.canonical import canonical_bytes
from safeconduct.policy.exactness import OWN, edited, negations
from safeconduct.policy.inspection import Module, read_module, syntax_tree
from safeconduct.policy.rego import ENTRY_POINT, BundleError, Modules
from safeconduct.policy.wording import plain, unannotated

if TYPE_CHECKING:
    from safeconduct.policy.bundle import Bundle

# The number is that of the form: raise it when the same bundle is written in another way.
_ROOT, _FORM = "safeconduct_bundles", "b2_"
_MARK = "safeconduct_part_"
_ELSEWHERE = re.compile(r"[^A-Za-z0-9._/-]")


class Relocated(NamedTuple):
    """What to put where in an OPA server, in this order: data, then modules.

    Attributes:
        place: Where the data goes and the answer is found, as a path below `data`.
        data: JSON.
        modules: (policy id, text); each compiles when those before it are there.
    """

    place: str
    data: bytes
    modules: Modules


def relocated(bundle: Bundle) -> Relocated:
    """Move a bundle below its digest.

    Raises:
        BundleError: If a module is not Rego, or files call each other's functions both ways.
    """
    place = f"{_ROOT}/{_FORM}{bundle.digest}"
    prefix = "data." + place.replace("/", ".")
    read = _functions_first([read_module(file, text) for file, text in bundle.modules])
    texts = dict(bundle.modules)
    moved = [
        (_policy_id(bundle, number, module.file), _moved(prefix, number, module, read, texts))
        for number, module in enumerate(read)
    ]
    gate = (_policy_id(bundle, len(read), "gate.rego"), _gate(prefix, read))
    return Relocated(
        place=place,
        data=canonical_bytes({"loaded": True, "x": bundle.data}),
        modules=(*moved, gate),
    )


def _policy_id(bundle: Bundle, number: int, file: str) -> str:
    return f"safeconduct/{_FORM}{bundle.digest}/{number:03}/{_ELSEWHERE.sub('_', file)}"


def _moved(
    prefix: str, number: int, module: Module, read: list[Module], texts: dict[str, str]
) -> str:
    """Write one file for its new place."""
    raw = unannotated(plain(texts[module.file])).encode()
    tree = syntax_tree(module.file, raw.decode())
    package = tree["package"]
    first = _leftmost(package["refr"])["start"]
    after = _end(package["refr"])
    lines = [f"import {prefix}.x.{each}" for each in _borrowed(module, read)]
    edits = [
        (first, first, f"{prefix.removeprefix('data.')}.x."),
        (after, after, "\n\n" + "\n".join(lines) + "\n"),
    ]
    roots = _roots([tree["imports"], tree["rules"]])
    edits += [(start, start + len(b"data"), f"{prefix}.x") for start in roots]
    if module.file.startswith(OWN):
        edits += negations(module.file, raw, tree["rules"])
    return f"{edited(raw, edits)}\n\n{_MARK}{number} := true\n"


def _borrowed(module: Module, read: list[Module]) -> list[str]:
    """Return the rules of other files of the package that this one mentions."""
    mine = {rule.name for rule in module.rules}
    mentioned = {each.path[0] for rule in module.rules for each in rule.references}
    theirs = {
        rule.name
        for other in read
        if other is not module and other.package == module.package
        for rule in other.rules
    }
    names = sorted((mentioned & theirs) - mine)
    return [".".join((*module.package, name)) for name in names]


def _gate(prefix: str, read: list[Module]) -> str:
    """Write the rule that is asked."""
    parts = [
        f"\t{prefix}.x.{'.'.join(module.package)}.{_MARK}{number}"
        for number, module in enumerate(read)
    ]
    entry = ENTRY_POINT.removeprefix("data.")
    return "\n".join(
        [
            f"package {prefix.removeprefix('data.')}",
            "import rego.v1",
            f"answer := {prefix}.x.{entry} if {{",
            f"\t{prefix}.loaded",
            *parts,
            "}\n",
        ]
    )


def _functions_first(read: list[Module]) -> list[Module]:
    """Order files so that each function is there before the files that call it."""
    waiting = {module.file: module for module in sorted(read, key=lambda each: each.file)}
    needs = {module.file: set(_called_of_others(module, read)) for module in read}
    ordered: list[Module] = []
    while waiting:
        ready = [file for file in waiting if not needs[file] & waiting.keys()]
        if not ready:
            files = ", ".join(waiting)
            raise BundleError(
                f"{files}: these files call each other's functions both ways, which cannot be "
                "put into an OPA server; move the functions into a file of their own"
            )
        ordered += [waiting.pop(file) for file in ready]
    return ordered


def _called_of_others(module: Module, read: list[Module]) -> Iterator[str]:
    """Yield the other files that define what this one calls."""
    mine = {rule.name for rule in module.rules}
    defined = {
        (*other.package, rule.name): other.file
        for other in read
        if other is not module
        for rule in other.rules
    }
    for called in (each for rule in module.rules for each in rule.references if each.called):
        root, *rest = called.path
        if root == "data":
            path = tuple(rest)
        elif root in mine:
            continue
        elif root in module.imports:
            path = (*module.imports[root][1:], *rest)
        else:
            path = (*module.package, *called.path)
        if path in defined:
            yield defined[path]


def _roots(tree: Any) -> Iterator[int]:
    """Yield where the name `data` stands in a piece of syntax."""
    match tree:
        case {"Var": {"value": "data", "span": {"start": int(start)}}}:
            yield start
        case dict():
            yield from _roots(list(tree.values()))
        case list():
            for each in tree:
                yield from _roots(each)
        case _:
            pass


def _leftmost(tree: dict[str, Any]) -> dict[str, int]:
    """Return where the first name of a dotted one stands."""
    ((kind, inner),) = tree.items()
    if kind == "Var":
        span: dict[str, int] = inner["span"]
        return span
    return _leftmost(inner["refr"])


def _end(tree: dict[str, Any]) -> int:
    (inner,) = tree.values()
    end: int = inner["span"]["end"]
    return end
