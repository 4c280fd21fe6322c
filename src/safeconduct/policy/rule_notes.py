"""What a host's rules and data say and nobody hears: said as notes when they are offered.

A host defines whatever helps it, so nothing here is an error. But a set `denny` refuses nobody, a
member `deny_list` lists nobody, and what reads a name that is not there is undefined for ever. A
name of the host's own is only noted where it is near one that counts and nothing else reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from safeconduct.policy.data import KNOWN
from safeconduct.policy.forms import found
from safeconduct.policy.inputs import words_at
from safeconduct.policy.inspection import COLLECTED, Path, chain, read_module, syntax_tree
from safeconduct.policy.machines import is_built_in
from safeconduct.policy.written_obligations import COMPUTED_NAME, written

if TYPE_CHECKING:
    from safeconduct.policy.bundle import Bundle
    from safeconduct.policy.inspection import Module

Words = Mapping[Path, frozenset[str]]

_NEAR, _VERY_NEAR = 0.6, 0.7  # what is a host's own is only noted where it is very near
_ONLY_REFUSING = frozenset({"allow", "allowed", "permit", "permitted", "grant"})
_TEST = "test_"
_RULES: Path = ("safeconduct",)
_ANSWERS: Path = ("safeconduct", "questions", "answers")
_DENIAL = ("reason", "message")
_REASON = re.compile(r"[a-z0-9_.-]{1,64}")


def notes_of(bundle: Bundle, words: Words) -> tuple[str, ...]:
    """Return a sentence for each; empty where everything is heard.

    Args:
        bundle: The built-in rules and a host's own.
        words: The only words there are at places of the input, beside those its schema names.
    """
    own = [read_module(file, text) for file, text in bundle.own_modules]
    read = {target: where for where, target in _reads(own)}
    return tuple(
        dict.fromkeys(
            (
                *_unread_rules(own, read),
                *_unread_data(bundle.data, read),
                *_missing_data(bundle.data, read),
                *_missing_rules(bundle, own, read),
                *_odd_denials(bundle),
                *_never_so(bundle, own, words),
            )
        )
    )


def _reads(modules: Iterable[Module]) -> Iterator[tuple[str, Path]]:
    """Yield where each place below `data` is read, also by an import or a bare name."""
    modules = list(modules)
    names: dict[Path, set[str]] = {}
    for module in modules:
        names.setdefault(module.package, set()).update(rule.name for rule in module.rules)
    for module in modules:
        for path in module.imports.values():
            if path[0] == "data":
                yield f"{module.file}:1", path[1:]
        for rule in module.rules:
            for reference in rule.references:
                target = _target(module, reference.path, names[module.package])
                itself = target == (*module.package, rule.name)
                if target is not None and not itself:
                    yield f"{module.file}:{reference.line}", target


def _target(module: Module, path: Path, siblings: set[str]) -> Path | None:
    root, *rest = path
    if root == "data":
        return tuple(rest)
    if root in siblings:
        return (*module.package, *path)
    base = module.imports.get(root, ())
    return (*base[1:], *rest) if base[:1] == ("data",) else None


def _unread_rules(own: list[Module], read: dict[Path, str]) -> Iterator[str]:
    for module in own:
        for rule in module.rules:
            place = (*module.package, rule.name)
            if rule.name in COLLECTED or _is_read(place, read):
                continue
            if rule.name.startswith(_TEST):
                yield (
                    f"{module.file}:{rule.line}: {rule.name} is never run; tests stand in files "
                    "that end with _test.rego"
                )
                continue
            where = f"{module.file}:{rule.line}: {rule.name} decides nothing and no rule reads it"
            if rule.name.lower() in _ONLY_REFUSING:
                yield f"{where}; rules of a host only refuse (deny) and oblige (obligations)"
            elif near := get_close_matches(rule.name.lower(), COLLECTED, n=1, cutoff=_VERY_NEAR):
                yield f"{where}; did you mean {near[0]}?"


def _unread_data(data: dict[str, Any], read: dict[Path, str]) -> Iterator[str]:
    for name in data:
        near = get_close_matches(name.lower(), KNOWN, n=1, cutoff=_VERY_NEAR)
        if name not in KNOWN and near and not _is_read((name,), read):
            yield (
                f"data: no rule reads {name}; the built-in rules read {near[0]}, did you mean that?"
            )


def _is_read(place: Path, read: dict[Path, str]) -> bool:
    """Whether anything reads a place, something in it, or all of what it is in."""
    return any(each[: len(place)] == place[: len(each)] for each in read)


def _missing_data(data: dict[str, Any], read: dict[Path, str]) -> Iterator[str]:
    for path, where in read.items():
        if path[:1] == _RULES:
            continue
        known: Any = data
        for depth, name in enumerate(path):
            if not isinstance(known, dict):
                break
            if name not in known:
                written_path = ".".join(("data", *path[: depth + 1]))
                yield f"{where}: there is no {written_path} in the data{_hint(name, known)}"
                break
            known = known[name]


def _missing_rules(bundle: Bundle, own: list[Module], read: dict[Path, str]) -> Iterator[str]:
    """Say which rules and questions are read and are not there."""
    built_in = [read_module(file, text) for file, text in bundle.modules if is_built_in(file)]
    there = {(*module.package, rule.name) for module in (*own, *built_in) for rule in module.rules}
    questions = bundle.data.get("questions", {})
    for path, where in read.items():
        if path[:1] != _RULES:
            continue
        if path[: len(_ANSWERS)] == _ANSWERS and len(path) > len(_ANSWERS):
            name = path[len(_ANSWERS)]
            if name not in questions:
                hint = _hint(name, questions)
                yield f"{where}: there is no question {name} in the data{hint}"
        elif not any(each[: len(path)] == path[: len(each)] for each in there):
            siblings = [each[-1] for each in there if each[:-1] == path[: len(each) - 1]]
            yield f"{where}: there is no data.{'.'.join(path)}{_hint(path[-1], siblings)}"


def _odd_denials(bundle: Bundle) -> Iterator[str]:
    """Say what of a refusal nobody is told: a member that means nothing, a reason that is none."""
    for file, text in bundle.own_modules:
        for rule in syntax_tree(file, text)["rules"]:
            for line, members in written(rule, "deny"):
                for name, value in members.items():
                    if name not in {*_DENIAL, COMPUTED_NAME}:
                        hint = _hint(name, _DENIAL)
                        yield f"{file}:{line}: nobody is told {name} of a deny{hint}"
                    odd = isinstance(value, str) and not _REASON.fullmatch(value)
                    if name == "reason" and odd:
                        yield (
                            f"{file}:{line}: this reason is not told, for it is not 1 to 64 of "
                            "a-z, 0-9, '_', '.' and '-'"
                        )


def _never_so(bundle: Bundle, own: list[Module], words: Words) -> Iterator[str]:
    """Say what is compared with a word that never stands there."""
    for module, (file, text) in zip(own, bundle.own_modules, strict=True):
        for line, tree, texts in _compared(syntax_tree(file, text)["rules"]):
            path = _input_path(module, tree)
            known = words.get(path) or (words_at(path) if path else frozenset())
            for word in texts if known else ():
                if word not in known:
                    hint = _hint(word, known) or f"; there is {', '.join(sorted(known))}"
                    yield f"{file}:{line}: input.{'.'.join(path)} is never {word}{hint}"


def _compared(tree: Any) -> Iterator[tuple[int, Any, list[str]]]:
    """Yield what is compared with texts that are written out: by `==`, `!=` or `in`."""
    for each in found(tree, "BoolExpr"):
        inner = each["BoolExpr"]
        if inner["op"] in {"Eq", "Ne"}:
            line, left, right = inner["span"]["line"], inner["lhs"], inner["rhs"]
            yield line, left, _texts([right])
            yield line, right, _texts([left])
    for each in found(tree, "Membership"):
        inner = each["Membership"]
        (those,) = inner["collection"].values()
        yield inner["span"]["line"], inner["value"], _texts(those.get("items", ()))


def _texts(trees: Iterable[Any]) -> list[str]:
    return [str(each["String"]["value"]) for each in trees if "String" in each]


def _input_path(module: Module, tree: Any) -> Path:
    """Return the path below `input` that a piece of syntax is, or nothing."""
    if not tree.keys() & {"Var", "RefDot", "RefBrack"}:
        return ()
    (root, *rest), dynamic = chain(tree) if chain(tree)[0] else (("",), [])
    base = ("input",) if root == "input" else module.imports.get(root, ())
    return () if dynamic or base[:1] != ("input",) else (*base[1:], *rest)


def _hint(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=_NEAR)
    return f"; did you mean {near[0]}?" if near else ""
