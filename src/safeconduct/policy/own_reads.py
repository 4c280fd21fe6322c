"""What a host's own rules read of a call itself: its URI, and which of its arguments.

Told from the text of the modules and from the questions beside them, and too much in doubt, as in
`reading`: a name that stands for all of the input counts as reading all of it. The built-in rules
read neither; the bindings of a server are known elsewhere. What type a rule expects of an argument
is said by a schema annotation (OPA's `# METADATA`, `schemas`), written in place.
"""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from safeconduct.policy.inspection import Path, Reference, syntax_tree, used_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from safeconduct.core.binding import Binding
    from safeconduct.policy.rego import Modules

_ANY = "*"
_METADATA = "# METADATA"
_BELOW = "input.arguments."
_WHOLE = frozenset({("input",), ("input", "arguments")})
_LONGEST_PATH = 256
_BETWEEN_STEPS = re.compile(r"[/.]")


class OwnReads(NamedTuple):
    """What rules read of what a caller chooses.

    Attributes:
        uri: Whether they may read the URI of a resource.
        arguments: Paths below the arguments, up to where the text does not fix them any more;
            the empty path is any argument.
        names: Every name of a member that the rules use, for what lies below those paths.
        expects: JSON schemas of arguments, as annotations of the rules say.
    """

    uri: bool
    arguments: frozenset[Path]
    names: frozenset[str] = frozenset()
    expects: tuple[tuple[Path, Any], ...] = ()


EVERYTHING = OwnReads(uri=True, arguments=frozenset({()}))


def without_type(modules: Modules) -> tuple[str, ...]:
    """Return the arguments that a host's modules read and say no type of, as rules spell them.

    Raises:
        BundleError: If one is not Rego.
    """
    reads = host_reads(modules)
    known = {path for path, _ in reads.expects}
    return tuple(sorted(_BELOW + ".".join(path) for path in reads.arguments - known if path))


def host_reads(
    modules: Modules, questions: Iterable[tuple[str, Binding]] = (), data: object = None
) -> OwnReads:
    """Return what a host's own modules and questions read.

    Args:
        modules: The rules.
        questions: What is asked of the relations.
        data: The data beside them; where a rule reads arguments by names that are not written out
            in it, these may stand there.

    Raises:
        BundleError: If one is not Rego.
    """
    trees = [syntax_tree(file, text) for file, text in modules]
    paths = [path for tree in trees for path in _input_paths(tree)]
    asked = (binding_path(binding) for _, binding in questions)
    read = frozenset({*_arguments(paths), *asked})
    named = (
        *(name for tree in trees for name in _names(tree)),
        *(_texts(data) if () in read else ()),
    )
    return OwnReads(
        uri=any(path in {(), ("resource",)} or path[:2] == ("resource", "name") for path in paths),
        arguments=read,
        names=frozenset(named),
        expects=tuple(each for _, text in modules for each in expectations(text)),
    )


def binding_path(binding: Binding) -> Path:
    """Return where a binding reads, up to the first array."""
    path = tuple(binding.path.split(".")[1:])
    return path[: path.index(_ANY)] if _ANY in path else path


def expectations(text: str) -> Iterator[tuple[Path, Any]]:
    """Yield what the annotations of a module say of single arguments."""
    lines = text.splitlines()
    for index, line in enumerate(lines):
        if line.strip() != _METADATA:
            continue
        block = takewhile(lambda each: each.lstrip().startswith("#"), lines[index + 1 :])
        try:
            said = yaml.safe_load("\n".join(each.lstrip()[1:] for each in block))
        except yaml.YAMLError:
            continue
        schemas = said.get("schemas") if isinstance(said, dict) else None
        for each in schemas if isinstance(schemas, list) else ():
            yield from _expected(each)


def _expected(annotation: object) -> Iterator[tuple[Path, Any]]:
    for place, schema in annotation.items() if isinstance(annotation, dict) else ():
        if isinstance(place, str) and place.startswith(_BELOW) and isinstance(schema, dict):
            yield tuple(place.removeprefix(_BELOW).split(".")), schema


def _input_paths(tree: Any) -> Iterator[Path]:
    for each in _used(tree):
        if each.path[:1] == ("input",):
            yield each.path[1:]


def _arguments(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path:
            yield ()
        elif path[0] == "arguments":
            yield path[1:]


def _steps(text: str) -> Iterator[str]:
    """Yield the names that a text takes apart to, where it is a path (`order/amount`)."""
    if len(text) <= _LONGEST_PATH and not any(map(str.isspace, text)):
        for step in _BETWEEN_STEPS.split(text):
            yield step.replace("~1", "/").replace("~0", "~")


def _texts(data: object) -> Iterator[str]:
    """Yield the texts and the names of members in data, but for those with blanks."""
    match data:
        case str() if len(data) <= _LONGEST_PATH and not any(map(str.isspace, data)):
            yield data
            yield from _steps(data)
        case dict():
            for name, each in data.items():
                yield from _texts(name)
                yield from _texts(each)
        case list():
            for each in data:
                yield from _texts(each)
        case _:
            pass


def computed(modules: Modules) -> tuple[str, ...]:
    """Return the places at which a host's modules read an argument whose name they compute.

    Raises:
        BundleError: If one is not Rego.
    """
    return tuple(
        f"{file}:{each.line}"
        for file, text in modules
        for each in _used(syntax_tree(file, text))
        if each.path in _WHOLE
    )


def _used(tree: Any) -> Iterator[Reference]:
    yield from used_in([tree["imports"], tree["rules"]])


def _names(tree: Any) -> Iterator[str]:
    """Yield every field and text of a piece of syntax; any of them may name a member."""
    match tree:
        case {"RefDot": {"refr": inner, "field": [_, str(field)]}}:
            yield field
            yield from _names(inner)
        case {"String": {"value": str(text)}} | {"RawString": {"value": str(text)}}:
            yield text
            yield from _steps(text)
        case dict():
            for each in tree.values():
                yield from _names(each)
        case list():
            for each in tree:
                yield from _names(each)
        case _:
            pass
