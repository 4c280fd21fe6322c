"""Spelling rules out, so that every engine takes them to mean the same.

Where the interpreter differs from OPA, a host's module is written for it in other words. `some`
over what is no collection is undefined in Rego and an error here, so collections are asked for
by `members`. A plain `some x` inside a loop would declare x anew each time around, so it goes to
the front. A rule whose value is undefined goes on to its `else`, so the value is asked for in
the body too. A constant key in a head would hide keys that are computed, so it is computed.
Built-ins that do not always answer as OPA's are called by way of `members`, which knows when.

And OPA looks what a negated expression uses up before it negates, so that `not f(input.x)` is
undefined without `x`; here it is true, as it is for whatever cannot be shown. For OPA it is
spelled `count([1 | f(input.x)]) == 0`, which means that to both; for us, where it holds a loop.
"""

from __future__ import annotations

from typing import Any

from safeconduct.policy.forms import found
from safeconduct.policy.inspection import Tree, syntax_tree
from safeconduct.policy.members import GUARDED, called, has_empty_choice, literal
from safeconduct.policy.rego import BundleError, Modules
from safeconduct.policy.wording import plain

OWN = "host/"
_QUOTES = b'"`'
_PLAIN = frozenset({"Var", "String", "RawString", "Number", "Bool", "Null"})
_CONSTANT = _PLAIN - {"Var"}
_COLLECTIONS = frozenset({"Array", "Set", "Object", "ArrayCompr", "SetCompr", "ObjectCompr"})
_OF, _SAME = "data.safeconduct.members.of", "data.safeconduct.members.same"
Edit = tuple[int, int, str]


def exact(modules: Modules) -> Modules:
    """Spell out a host's modules for the interpreter; the built-in ones need it not."""
    return tuple(
        (file, _spelled_out(file, text) if file.startswith(OWN) else plain(text))
        for file, text in modules
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
    for statement in found(tree, "literal"):
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
    tree, text = syntax_tree(file, text), plain(text)
    raw = text.encode()
    edits = negations(file, raw, tree["rules"], loops_only=True)
    for query in (each["query"] for each in found(tree["rules"], "query")):
        edits += _declared_first(raw, query)
    for each in (some["SomeIn"] for some in found(tree["rules"], "SomeIn")):
        edits += _collection(raw, each)
    for call in (each["Call"] for each in found(tree["rules"], "Call")):
        edits += _guarded(raw, call)
    for rule in (each["Spec"] for each in tree["rules"] if "Spec" in each):
        edits += [*_otherwise(raw, rule), *_computed(raw, rule)]
    if not edits:
        return text
    spelled = edited(raw, edits)
    syntax_tree(file, spelled)  # or somebody would have to find out later
    return spelled


def _declared_first(raw: bytes, query: Tree) -> list[Edit]:
    """Declare names at the beginning of a query, unless what comes before uses them."""
    edits: list[Edit] = []
    used: set[str] = set()
    for number, statement in enumerate(query["stmts"]):
        literal = statement["literal"]
        if number and "SomeVars" in literal:
            span = literal["SomeVars"]["span"]
            names = [
                raw[each["start"] : each["end"]].decode() for each in literal["SomeVars"]["vars"]
            ]
            if not used & set(names):
                first = _start(raw, query["stmts"][0])
                edits.append((first, first, f"some {', '.join(names)}; "))
                edits.append((span["start"], span["end"], "true"))
            used |= set(names)
        used |= {each["Var"]["value"] for each in found(literal, "Var")}
    return edits


def _collection(raw: bytes, some: Tree) -> list[Edit]:
    """Ask for the members of what a `some` runs over."""
    collection = some.get("collection")
    if not collection or set(collection) & _COLLECTIONS:
        return []
    start, stop = _place(raw, collection)
    return [(start, start, f"{_OF}("), (stop, stop, ")")]


def _guarded(raw: bytes, call: Tree) -> list[Edit]:
    """Have a built-in called that answers as OPA's or fails, unless it cannot but do so."""
    name, given = called(call), literal(call)
    if name not in GUARDED:
        return []
    if name == ("glob", "match") and given is not None and not has_empty_choice(given):
        return []
    start = _start(raw, call["fcn"])
    return [(start, raw.index(b"(", start), GUARDED[name])]


def _otherwise(raw: bytes, rule: Tree) -> list[Edit]:
    """Say of a rule that has an `else` that its value is defined."""
    ((_, head),) = rule["head"].items()
    bodies = rule["bodies"]
    if not any(body["is_else"] for body in bodies):
        return []
    edits: list[Edit] = []
    for number, body in enumerate(bodies):
        assign = body["assign"] if number else head.get("assign")
        if assign and body["query"]["stmts"]:
            edits += _said_in(raw, body["query"], _defined(raw, [assign["value"]]))
    return edits


def _computed(raw: bytes, rule: Tree) -> list[Edit]:
    """Compute the constant key of a head."""
    ((_, head),) = rule["head"].items()
    match head["refr"]:
        case {"RefDot": {"refr": {"Var": {"span": before}}, "field": [span, str(name)]}}:
            return [(before["end"], span["end"], f'[{_SAME}("{name}")]')]
        case {"RefBrack": {"refr": {"Var": _}, "index": index}} if not set(index) - _CONSTANT:
            start, stop = _place(raw, index)
            return [(start, start, f"{_SAME}("), (stop, stop, ")")]
        case _:
            return []


def _defined(raw: bytes, parts: list[Tree]) -> list[str]:
    """Say of each expression that it is defined; names and plain values are."""
    texts = []
    for part in parts:
        (kind,) = part
        if kind not in _PLAIN:
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
    return any(each["Var"]["value"] == "_" for each in found(tree, "Var"))
