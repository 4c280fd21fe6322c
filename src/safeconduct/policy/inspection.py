"""Reading a host's Rego modules before they run: what they may be, call and refer to.

The engine itself does not refuse recursion (it ends the process) and would let a rule ask for
the time, for randomness or for gigabytes. So modules are read as syntax trees first. Judged
too strictly a module costs its author a new name; judged too loosely it costs the gateway.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import regorus

from safeconduct.policy.arities import arities
from safeconduct.policy.forms import check_names, check_tree
from safeconduct.policy.members import check_calls
from safeconduct.policy.rego import BundleError, Modules, explain, place_of
from safeconduct.policy.scopes import check_scopes
from safeconduct.policy.wording import check_wording, meant, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[str, ...]
Tree = dict[str, Any]

HOST: Path = ("safeconduct", "host")
_READABLE: tuple[Path, ...] = (
    HOST,
    *(("safeconduct", name) for name in ("levels", "questions", "tiers")),
)
COLLECTED = ("deny", "obligations")

BUILTINS = frozenset(
    """
    abs array.concat array.reverse array.slice base64.decode base64.encode base64.is_valid
    base64url.decode base64url.encode base64url.encode_no_pad bits.and bits.negate bits.or bits.rsh
    bits.xor ceil concat contains count endswith floor format_int glob.match glob.quote_meta
    hex.decode hex.encode indexof indexof_n intersection is_array is_boolean is_null is_number
    is_object is_set is_string json.filter json.is_valid json.marshal json.remove json.unmarshal
    lower max min net.cidr_contains net.cidr_is_valid object.filter object.get object.keys
    object.remove object.subset object.union object.union_n product regex.find_n regex.is_valid
    regex.match regex.replace regex.split regex.template_match replace round semver.compare
    semver.is_valid sort split sprintf startswith strings.any_prefix_match strings.any_suffix_match
    strings.reverse substring sum time.add_date time.clock time.date time.diff time.format
    time.parse_duration_ns time.parse_ns time.parse_rfc3339_ns time.weekday to_number trim trim_left
    trim_prefix trim_right trim_space trim_suffix type_name union
    upper urlquery.decode urlquery.decode_object urlquery.encode urlquery.encode_object
    """.split()  # noqa: SIM905  ninety names read better as a paragraph
)

# Left out on purpose: what reaches outside or differs between two runs, and what makes much out of
# little (so does walk). Named, since a rule or an import called `time` would hide `time.now_ns`.
LEFT_OUT = frozenset(
    """
    bits.lsh graph.reachable graph.reachable_paths http.send json.marshal_with_options
    json.match_schema json.patch json.verify_schema net.cidr_expand numbers.range
    numbers.range_step opa.runtime rand.intn regex.find_all_string_submatch_n strings.count
    strings.replace_n time.now_ns units.parse units.parse_bytes uuid.parse uuid.rfc4122
    yaml.is_valid yaml.marshal yaml.unmarshal
    """.split()  # noqa: SIM905  as above
)
_INSTEAD = {
    "units.parse": "; write the number itself, in the data too",
    "units.parse_bytes": "; write the number of bytes, in the data too",
}
# A host's own function of such a name would not be told from the built-in.
_TAKEN = frozenset(
    {"sprintf", "glob", "upper", "lower", "indexof", "json", "net", "semver", "to_number"}
)


class Reference(NamedTuple):
    """A name that a rule uses: the parts that are fixed in the text, as far as they go."""

    path: Path
    line: int
    called: bool


class Rule(NamedTuple):
    """One rule of a module, under the first part of its name."""

    name: str
    line: int
    is_set: bool
    references: tuple[Reference, ...]


class Module(NamedTuple):
    """One file: its package, the short names it imports, and its rules."""

    file: str
    package: Path
    imports: dict[str, Path]
    rules: tuple[Rule, ...]


def read_module(file: str, text: str) -> Module:
    """Parse one file.

    Raises:
        BundleError: If it is not Rego.
    """
    tree = syntax_tree(file, text)
    return Module(
        file=file,
        package=chain(tree["package"]["refr"])[0],
        imports=dict(_import(file, each, text) for each in tree["imports"]),
        rules=tuple(_rule(each) for each in tree["rules"]),
    )


def syntax_tree(file: str, text: str) -> Tree:
    """Parse one file; places in the tree are counted in bytes.

    Raises:
        BundleError: If it is not Rego.
    """
    check_wording(file, text)
    engine = regorus.Engine()
    try:
        engine.add_policy(file, plain(text))
        tree: Tree = json.loads(engine.get_ast_as_json())[0]["ast"]
    except RecursionError:
        raise BundleError(f"{file}: the policy engine cannot cope with such nesting") from None
    except RuntimeError as error:
        raise BundleError(_unreadable(text, error)) from None
    return tree


def _unreadable(text: str, error: RuntimeError) -> str:
    """Say why a file cannot be parsed, and what was probably meant."""
    said = explain(error)
    if "keyword is required" in said:
        return f"{said}; this is Rego v0. Write it as v1, which `opa fmt --v0-v1` does"
    line = place_of(str(error)).rpartition(":")[2]
    hint = meant(text, int(line)) if line.isdigit() else ""
    return f"{said}; {hint}" if hint else said


def judge(modules: Modules) -> dict[str, tuple[str, ...]]:
    """Judge a host's modules; return which packages define `deny`, and which `obligations`.

    Raises:
        BundleError: At the first thing that is not allowed; the message names file and line.
    """
    read = [read_module(file, text) for file, text in modules]
    trees = [syntax_tree(file, text) for file, text in modules]
    for module, tree in zip(read, trees, strict=True):
        check_tree(module.file, tree)
        check_calls(module.file, tree["rules"])
        _check_taken(module)
    check_names(
        [(module.file, module.package, tree) for module, tree in zip(read, trees, strict=True)]
    )
    names: dict[Path, set[str]] = {}
    for module in read:
        if module.package[: len(HOST)] != HOST:
            raise BundleError(
                f"{module.file}:1: package {'.'.join(module.package)} is not safeconduct.host "
                "or below"
            )
        names.setdefault(module.package, set()).update(rule.name for rule in module.rules)
    _imports_stay_at_home(read, names)
    edges: dict[Path, set[Path]] = {}
    places: dict[Path, str] = {}
    for module in read:
        for rule in module.rules:
            node = (*module.package, rule.name)
            places.setdefault(node, f"{module.file}:{rule.line}")
            edges.setdefault(node, set()).update(_targets(module, rule, names[module.package]))
    _no_recursion(edges, places)
    functions = arities(trees)
    for (file, text), module, tree in zip(modules, read, trees, strict=True):
        imported = {
            name for each in read if each.package == module.package for name in each.imports
        }
        check_scopes(
            file, plain(text), tree, frozenset(names[module.package] | imported), functions
        )
    return {
        collected: tuple(
            sorted(".".join(package) for package, defined in names.items() if collected in defined)
        )
        for collected in COLLECTED
    }


def _check_taken(module: Module) -> None:
    for name, line in (
        *((each.name, each.line) for each in module.rules),
        *((each, 1) for each in module.imports),
    ):
        if name in _TAKEN:
            raise BundleError(f"{module.file}:{line}: {name} is a built-in's name; rename it")


def _imports_stay_at_home(read: list[Module], names: dict[Path, set[str]]) -> None:
    """Refuse imports that mean something in another file too.

    The engine applies an import to the whole package; OPA, and whoever reads the file, to its
    file alone. And what an import leads to is judged here, since another file may use it.
    """
    imported: dict[tuple[Path, str], Module] = {}
    for module in read:
        for name, target in module.imports.items():
            if name in names[module.package]:
                raise BundleError(f"{module.file}:1: {name} is imported and also a rule")
            if target[0] == "data":
                _readable(target[1:], f"{module.file}:1")
            first = imported.setdefault((module.package, name), module)
            if first.imports[name] != target:
                raise BundleError(
                    f"{module.file}:1: {name} is imported as something else by {first.file}"
                )
    for module in read:
        for reference in (each for rule in module.rules for each in rule.references):
            other = imported.get((module.package, reference.path[0]))
            if other is not None and reference.path[0] not in module.imports:
                raise BundleError(
                    f"{module.file}:{reference.line}: {reference.path[0]} is imported by "
                    f"{other.file} alone; import it here too, or use another name"
                )


def _readable(target: Path, where: str) -> None:
    if not target:
        raise BundleError(f"{where}: say which document below data is read")
    if target[0] == "safeconduct" and target[:2] not in _READABLE:
        raise BundleError(f"{where}: data.{'.'.join(target)} is not for a host's rules")


def _targets(module: Module, rule: Rule, siblings: set[str]) -> Iterator[Path]:
    """Yield the places below `data.safeconduct` a rule reads, and refuse what it may not."""
    if rule.name in COLLECTED and not rule.is_set:
        raise BundleError(
            f"{module.file}:{rule.line}: {rule.name} must be a set; "
            f"write `{rule.name} contains {{...}} if ...`"
        )
    for reference in rule.references:
        target = _resolved(module, reference, siblings)
        where, name = f"{module.file}:{reference.line}", ".".join(reference.path)
        unknown = name in LEFT_OUT or (target is None and name not in BUILTINS)
        if reference.called and unknown:
            raise BundleError(
                f"{where}: {name} is not available to a host's rules{_INSTEAD.get(name, '')}"
            )
        if target is not None:
            _readable(target, where)
            if target[0] == "safeconduct":
                yield target


def _resolved(module: Module, reference: Reference, siblings: set[str]) -> Path | None:
    """Return where a reference leads below `data`, or None for inputs, locals and built-ins."""
    root, *rest = reference.path
    if root == "data":
        return tuple(rest)
    if root in siblings:
        return (*module.package, *reference.path)
    if root in module.imports:
        base = module.imports[root]
        return (*base[1:], *rest) if base[0] == "data" else None
    return None


def _no_recursion(edges: dict[Path, set[Path]], places: dict[Path, str]) -> None:
    """Refuse rules that reach themselves; a reference may mean anything at or below its path."""
    resolved = {
        node: {
            other
            for other in edges
            for target in targets
            if other[: len(target)] == target[: len(other)]
        }
        for node, targets in edges.items()
    }
    done: set[Path] = set()
    for start in resolved:
        _visit(start, resolved, done, [], places)


def _visit(
    node: Path,
    edges: dict[Path, set[Path]],
    done: set[Path],
    trail: list[Path],
    places: dict[Path, str],
) -> None:
    if node in trail:
        raise BundleError(f"{places[node]}: rule {node[-1]} refers to itself")
    if node in done:
        return
    trail.append(node)
    for other in sorted(edges[node]):
        _visit(other, edges, done, trail, places)
    trail.pop()
    done.add(node)


def _import(file: str, tree: Tree, text: str) -> tuple[str, Path]:
    path, _ = chain(tree["refr"])
    if path[0] not in {"data", "input"}:
        line = tree["span"]["line"]
        raise BundleError(f"{file}:{line}: only data and input can be imported")
    return _alias(tree.get("as"), text) or path[-1], path


def _alias(span: object, text: str) -> str | None:
    match span:
        case {"start": int(start), "end": int(end)}:  # counted in bytes
            return text.encode()[start:end].decode()
        case _:
            return None


def _rule(tree: Tree) -> Rule:
    if "Default" in tree:
        body = tree["Default"]
        head, references = body["refr"], used_in(body["value"])
        kind = "Default"
    else:
        body = tree["Spec"]
        ((kind, parts),) = body["head"].items()
        head = parts["refr"]
        rest = {name: part for name, part in parts.items() if name != "refr"}
        references = used_in([rest, body["bodies"]])
    path, dynamic = chain(head)
    return Rule(
        name=path[0],
        line=_line(head),
        is_set=kind == "Set" and "Var" in head,
        references=(*references, *used_in(dynamic)),
    )


def used_in(tree: Any) -> Iterator[Reference]:
    """Yield every name a piece of syntax uses, from the outermost in."""
    match tree:
        case {"Call": {"fcn": function, "params": params}}:
            path, dynamic = chain(function)
            yield Reference(path, _line(function), called=True)
            yield from used_in([dynamic, params])
        case {"Var": _} | {"RefDot": _} | {"RefBrack": _}:
            path, dynamic = chain(tree)
            if path:
                yield Reference(path, _line(tree), called=False)
            yield from used_in(dynamic)
        case dict():
            yield from used_in(list(tree.values()))
        case list():
            for each in tree:
                yield from used_in(each)
        case _:
            pass  # a number, a flag or a piece of text names nothing


def chain(tree: Tree) -> tuple[Path, list[Tree]]:
    """Take `a.b[c].d` apart: the fixed parts (a, b) and whatever has to be looked into (c).

    What does not start with a name, such as `f(x).y`, has no fixed parts at all.
    """
    match tree:
        case {"Var": {"value": str(name)}}:
            return (name,), []
        case {"RefDot": {"refr": inner, "field": [_, str(field)]}}:
            path, dynamic = chain(inner)
            return (path if dynamic or not path else (*path, field)), dynamic
        case {"RefBrack": {"refr": inner, "index": index}}:
            path, dynamic = chain(inner)
            match index:
                case {"String": {"value": str(field)}} | {"RawString": {"value": str(field)}} if (
                    path and not dynamic
                ):
                    return (*path, field), dynamic
            return path, [*dynamic, index]
        case _:
            return (), [tree]


def _line(tree: Tree) -> int:
    (inner,) = tree.values()
    line: int = inner["span"]["line"]
    return line
