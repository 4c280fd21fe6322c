"""Spelling rules out, so that every engine takes them to mean the same.

In Rego what is undefined ends a rule. Compiled, our engine forgets that in three places: after
`x := E`, in what a comprehension collects, and in the head of a rule that collects. There
`region := input.subject.attributes.region` holds for who has no region. `E == E` does not hold
where E is undefined, so it is said there as well. And a comprehension that begins with a
condition runs for ever once that fails; one that begins with a loop does not, so it gets one.

And OPA looks what a negated expression uses up before it negates, so that `not f(input.x)` is
undefined without `x`; here it is true, as it is for whatever cannot be shown. For OPA it is
spelled `count([1 | f(input.x)]) == 0`, which means that to both; for us, where it holds a loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from safeconduct.policy.inspection import Tree, syntax_tree
from safeconduct.policy.rego import BundleError, Modules

OWN = "host/"
_QUOTES = b'"`'

Edit = tuple[int, int, str]


def exact(modules: Modules) -> Modules:
    """Spell out a host's modules for the compiled engine; the built-in ones need it not."""
    return tuple(
        (file, _spelled_out(file, text) if file.startswith(OWN) else text) for file, text in modules
    )


def edited(raw: bytes, edits: list[Edit]) -> str:
    """Replace places, given as (first byte, byte after the last, text)."""
    pieces, done = [], 0
    for start, stop, text in sorted(edits, key=lambda edit: edit[:2]):
        pieces += [raw[done:start], text.encode()]
        done = stop
    return b"".join([*pieces, raw[done:]]).decode()


def negations(file: str, raw: bytes, tree: Any, *, loops_only: bool = False) -> list[Edit]:
    """Return how to spell negations for OPA, or those of loops for ourselves.

    Raises:
        BundleError: If one is combined with `with`.
    """
    edits: list[Edit] = []
    for statement in _found(tree, "literal"):
        literal = statement["literal"]
        if "NotExpr" not in literal or (loops_only and not _loops(literal)):
            continue
        if statement.get("with_mods"):
            line = statement["span"]["line"]
            raise BundleError(f"{file}:{line}: not and with together cannot be told exactly")
        start, stop = _place(raw, literal["NotExpr"]["expr"])
        edits.append((literal["NotExpr"]["span"]["start"], start, "count([1 | some _ in [0]; ("))
        edits.append((stop, stop, ")]) == 0"))
    return edits


def _spelled_out(file: str, text: str) -> str:
    raw = text.encode()
    tree = syntax_tree(file, text)
    edits = negations(file, raw, tree["rules"], loops_only=True)
    for query in (each["query"] for each in _found(tree["rules"], "query")):
        said = [f"{name} == {name}" for name in _assigned(query)]
        edits += _said_in(raw, query, said)
    for kind in ("ArrayCompr", "SetCompr", "ObjectCompr"):
        for each in (found[kind] for found in _found(tree["rules"], kind)):
            parts = [each[name] for name in ("term", "key", "value") if name in each]
            edits += _said_in(raw, each["query"], _defined(raw, parts))
            first = _start(raw, each["query"]["stmts"][0])
            edits.append((first, first, "some _ in [0]; "))
    for rule in (each["Spec"] for each in tree["rules"] if "Spec" in each):
        edits += _head(raw, rule)
    if not edits:
        return text
    spelled = edited(raw, edits)
    syntax_tree(file, spelled)  # or somebody would have to find out later
    return spelled


def _head(raw: bytes, rule: Tree) -> list[Edit]:
    """Say that what the head collects, and under what, is defined."""
    ((kind, head),) = rule["head"].items()
    collected = [head["key"]] if kind == "Set" and head.get("key") else []
    indexes = list(_indexes(head["refr"])) if kind != "Func" else []
    if indexes and head.get("assign"):
        collected.append(head["assign"]["value"])
    said = _defined(raw, [*collected, *indexes])
    if not said:
        return []
    if not rule["bodies"]:
        # A set or an index without a body: the head ends where the rule does.
        stop = _stop(raw, rule["span"]["end"])
        return [(stop, stop, f" if {{ {'; '.join(said)} }}")]
    return [edit for body in rule["bodies"] for edit in _said_in(raw, body["query"], said)]


def _indexes(tree: Any) -> Iterator[Tree]:
    match tree:
        case {"RefBrack": {"refr": inner, "index": index}}:
            yield index
            yield from _indexes(inner)
        case {"RefDot": {"refr": inner}}:
            yield from _indexes(inner)
        case _:
            pass


def _assigned(query: Tree) -> Iterator[str]:
    """Yield the names that a query's own statements assign."""
    for statement in query["stmts"]:
        match statement["literal"]:
            case {"Expr": {"expr": {"AssignExpr": {"op": "ColEq", "lhs": {"Var": var}}}}}:
                yield str(var["value"])
            case _:
                pass


def _defined(raw: bytes, parts: list[Tree]) -> list[str]:
    """Say of each expression that it is defined; names and plain values are."""
    texts = []
    for part in parts:
        (kind,) = part
        if kind not in {"Var", "String", "RawString", "Number", "Bool", "Null"}:
            start, stop = _place(raw, part)
            text = raw[start:stop].decode()
            texts.append(f"({text}) == ({text})")
    return texts


def _said_in(raw: bytes, query: Tree, said: list[str]) -> list[Edit]:
    """Add statements to a query, with braces where it had none."""
    if not said:
        return []
    start, stop = query["span"]["start"], query["span"]["end"]
    first = _start(raw, query["stmts"][0])
    more = "; ".join(["", *said])
    if first > start:  # it has braces, or the end of a comprehension
        return [(stop - 1, stop - 1, more)]
    stop = _stop(raw, stop)
    return [(first, first, "{ "), (stop, stop, f"{more} }}")]


def _place(raw: bytes, tree: Tree) -> tuple[int, int]:
    ((_, inner),) = tree.items()
    return _start(raw, tree), _stop(raw, inner["span"]["end"])


def _start(raw: bytes, tree: Any) -> int:
    """Return where something begins: where the first of its parts does.

    The engine tells a string without its quotes, and an object from its last member on.
    """
    match tree:
        case {"Object": {"fields": [[_, key, _], *_]}}:
            return raw.rfind(b"{", 0, _start(raw, key))
        case {"span": {"start": int(start)}}:
            inner = [start - 1 if raw[start - 1] in _QUOTES else start]
        case _:
            inner = []
    parts = tree.values() if isinstance(tree, dict) else tree
    inner += [_start(raw, each) for each in parts if isinstance(each, dict | list)]
    return min(inner, default=len(raw))


def _stop(raw: bytes, stop: int) -> int:
    return stop + 1 if stop < len(raw) and raw[stop] in _QUOTES else stop


def _loops(tree: Any) -> bool:
    return any(found["Var"]["value"] == "_" for found in _found(tree, "Var"))


def _found(tree: Any, member: str) -> Iterator[Tree]:
    """Yield every mapping in a tree that has this member."""
    match tree:
        case dict():
            if member in tree:
                yield tree
            yield from _found(list(tree.values()), member)
        case list():
            for each in tree:
                yield from _found(each, member)
        case _:
            pass
