"""What a host's own rules read of a call itself: its URI, and which of its arguments.

Told from the text of the modules and from the questions beside them, and too much in doubt, as in
`reading`: a name that stands for all of the input counts as reading all of it. The built-in rules
read neither; the bindings of a server are known elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from safeconduct.policy.inspection import Path, syntax_tree, used_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from safeconduct.core.binding import Binding
    from safeconduct.policy.rego import Modules

_ANY = "*"


class OwnReads(NamedTuple):
    """What rules read of what a caller chooses.

    Attributes:
        uri: Whether they may read the URI of a resource.
        arguments: Paths below the arguments, up to where the text does not fix them any more;
            the empty path is any argument.
    """

    uri: bool
    arguments: frozenset[Path]


EVERYTHING = OwnReads(uri=True, arguments=frozenset({()}))


def host_reads(modules: Modules, questions: Iterable[tuple[str, Binding]] = ()) -> OwnReads:
    """Return what a host's own modules and questions read.

    Raises:
        BundleError: If one is not Rego.
    """
    paths = [path for file, text in modules for path in _input_paths(file, text)]
    asked = (tuple(binding.path.split(".")[1:]) for _, binding in questions)
    return OwnReads(
        uri=any(path in {(), ("resource",)} or path[:2] == ("resource", "name") for path in paths),
        arguments=frozenset({*_arguments(paths), *map(_fixed, asked)}),
    )


def _input_paths(file: str, text: str) -> Iterator[Path]:
    tree = syntax_tree(file, text)
    for each in used_in([tree["imports"], tree["rules"]]):
        if each.path[:1] == ("input",):
            yield each.path[1:]


def _arguments(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path:
            yield ()
        elif path[0] == "arguments":
            yield path[1:]


def _fixed(path: Path) -> Path:
    """Return a binding's path up to the first array."""
    return path[: path.index(_ANY)] if _ANY in path else path
