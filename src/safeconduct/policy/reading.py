"""What rules can read of their input: whatever else changes, their answer stays the same.

Told from the text of all modules that decide together, and too much in doubt: an import counts
as reading all it names, whoever uses it, and `input[x]` may be anything. Where a rule calls
what may answer differently the next time, nothing can be told.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from safeconduct.policy.facts import Environment
from safeconduct.policy.inspection import (
    BUILTINS,
    LEFT_OUT,
    Path,
    read_module,
    syntax_tree,
    used_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from safeconduct.policy.rego import Modules

_MEMBERS = Environment.__struct_fields__


class Reads(NamedTuple):
    """What rules read of what differs from call to call; every other fact counts as read.

    Attributes:
        environment: Members of the environment, in their order.
        arguments: Whether they read any of the arguments.
    """

    environment: tuple[str, ...]
    arguments: bool


EVERYTHING = Reads(environment=_MEMBERS, arguments=True)


class _Said(NamedTuple):
    """What one file says: names that it gives, paths that it uses, and those that it calls."""

    given: frozenset[str]
    used: frozenset[Path]
    called: frozenset[Path]


def reads_of(modules: Modules) -> Reads | None:
    """Return what modules read, or None where their answers may depend on more than that.

    Raises:
        BundleError: If one is not Rego.
    """
    files = [_said(file, text) for file, text in modules]
    given = frozenset({"data"}).union(*(file.given for file in files))
    if not all(_steady(path, given) for file in files for path in file.called):
        return None
    return _read(path[1:] for file in files for path in file.used if path[0] == "input")


def _read(paths: Iterable[Path]) -> Reads:
    """Sum up paths below `input`."""
    environment: set[str] = set()
    arguments = False
    for path in paths:
        match path:
            case ():
                return EVERYTHING
            case ("arguments", *_):
                arguments = True
            case ("environment",):
                environment.update(_MEMBERS)
            case ("environment", member, *_):
                environment.add(member)
            case _:
                pass  # of a fact, or of nothing there is
    return Reads(tuple(name for name in _MEMBERS if name in environment), arguments)


def _steady(path: Path, given: frozenset[str]) -> bool:
    """Tell whether a call answers the same each time: a built-in we know, or a rule."""
    name = ".".join(path)
    return name in BUILTINS or (name not in LEFT_OUT and path[:1] != () and path[0] in given)


@lru_cache(maxsize=256)  # the built-in modules decide for every host
def _said(file: str, text: str) -> _Said:
    module, tree = read_module(file, text), syntax_tree(file, text)
    used = list(used_in([tree["imports"], *map(_living, tree["rules"])]))
    return _Said(
        given=frozenset({*module.imports, *(rule.name for rule in module.rules)}),
        used=frozenset(each.path for each in used if each.path),
        called=frozenset(each.path for each in used if each.called),
    )


def _living(rule: Any) -> Any:
    """Return a rule without the bodies that can never hold."""
    (parts,) = rule.values()
    return parts | {"bodies": [body for body in parts.get("bodies", ()) if not _dead(body)]}


def _dead(body: Any) -> bool:
    match body:
        case {"query": {"stmts": [{"literal": {"Expr": {"expr": {"Bool": said}}}}, *_]}}:
            return said["value"] is False
        case _:
            return False
