"""How many things functions are given, and calls that are given one more: what is to come out.

`count(xs, n)` is old for `n = count(xs)`, and both engines take it so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safeconduct.policy.variables import path_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TWO = """
    array.concat bits.and bits.or bits.rsh bits.xor concat contains endswith format_int
    indexof indexof_n json.filter json.remove net.cidr_contains object.filter object.remove
    object.subset object.union regex.match regex.split semver.compare split sprintf
    startswith strings.any_prefix_match strings.any_suffix_match time.diff time.parse_ns
    trim trim_left trim_prefix trim_right trim_suffix
    """
_MORE = {
    "array.slice": 3,
    "glob.match": 3,
    "object.get": 3,
    "regex.find_n": 3,
    "regex.replace": 3,
    "replace": 3,
    "substring": 3,
    "regex.template_match": 4,
    "time.add_date": 4,
}
_OF_BUILT_INS = {**dict.fromkeys(_TWO.split(), 2), **_MORE}  # all others take one


def arities(trees: Iterable[Any]) -> dict[str, int]:
    """Return how many parameters the functions of these modules have, by their last name."""
    heads = (
        rule["Spec"]["head"]["Func"]
        for tree in trees
        for rule in tree["rules"]
        if "Func" in rule.get("Spec", {}).get("head", {})
    )
    return {path_of(head["refr"])[-1]: len(head["args"]) for head in heads}


def spelled_as_equality(tree: Any, own: Mapping[str, int]) -> Any:
    """Return a piece of syntax with what is to come out of calls on one side of an equality."""
    match tree:
        case {"literal": {"Expr": {"expr": {"Call": call}} as expression} as literal}:
            plain = spelled_as_equality(call, own)
            if len(call["params"]) != _arity(call, own) + 1:
                return {**tree, "literal": {**literal, "Expr": {"expr": {"Call": plain}}}}
            *given, out = plain["params"]
            sides = {"op": "Eq", "lhs": out, "rhs": {"Call": {**plain, "params": given}}}
            equal = {"AssignExpr": {**sides, "span": call["span"]}}
            return {**tree, "literal": {**literal, "Expr": {**expression, "expr": equal}}}
        case dict():
            return {name: spelled_as_equality(each, own) for name, each in tree.items()}
        case list():
            return [spelled_as_equality(each, own) for each in tree]
        case _:
            return tree


def _arity(call: Any, own: Mapping[str, int]) -> int:
    path = path_of(call["fcn"])
    name = ".".join(path)
    return own.get(path[-1], _OF_BUILT_INS.get(name, 1)) if path else 1
