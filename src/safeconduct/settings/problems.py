"""What is wrong with a configuration: collected with places, bounded, and reported together.

Messages name keys and allowed words but never repeat a value: a password typed into the
wrong line must not reappear in a log.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from safeconduct.core.model import Value

MOST_PROBLEMS = 20
_LONGEST_NAME = 64


class Mark(Value, frozen=True):
    """Where something was written.

    Attributes:
        line: Counted from 1; 0 when it was not written in the file.
        column: Counted from 1, in characters.
        variable: The environment variable it came from instead, or "".
    """

    line: int
    column: int
    variable: str = ""


class Problem(Value, frozen=True):
    """One thing to correct.

    Attributes:
        path: The setting, such as `hosts[0].servers[1].url`; "" for the file as a whole.
        line: Counted from 1; 0 when the value came from the environment.
        column: Counted from 1, in characters.
        message: A sentence that says what to do; holds no secret.
    """

    path: str
    line: int
    column: int
    message: str


class SettingsError(Exception):
    """The configuration cannot be used.

    Attributes:
        problems: At most 20 of them, in the order of the file.
        more: How many were left out.
    """

    def __init__(self, name: str, problems: tuple[Problem, ...], *, more: int = 0) -> None:
        lines = [_line(name, problem) for problem in problems]
        if more:
            lines.append(f"{name}: and {more} more")
        super().__init__("\n".join(lines))
        self.problems = problems
        self.more = more


class Problems:
    """Gathers problems so that one run shows them all."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._found: list[Problem] = []

    def add(self, path: str, mark: Mark, message: str) -> None:
        """Note one problem; the same one twice counts once."""
        if mark.variable:
            message = f"environment variable {mark.variable}: {message}"
        problem = Problem(path=path, line=mark.line, column=mark.column, message=message)
        if problem not in self._found[-MOST_PROBLEMS:]:
            self._found.append(problem)

    def check(self) -> None:
        """Go on only without problems.

        Raises:
            SettingsError: If there is any.
        """
        if self._found:
            found = sorted(self._found, key=lambda problem: (problem.line, problem.column))
            more = max(0, len(found) - MOST_PROBLEMS)
            raise SettingsError(self._name, tuple(found[:MOST_PROBLEMS]), more=more)


def join(path: str, key: str | int) -> str:
    """Extend a setting's path by a key or an index."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if not re.fullmatch(r"[A-Za-z0-9_-]+", key):
        return f"{path}[{quoted(key)}]"
    return f"{path}.{key}" if path else key


def quoted(name: str) -> str:
    """Prepare a key or name for a message: quoted, escaped and never longer than a line."""
    return repr(name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest known name, or "" when none is near."""
    near = nearest(name, known)
    return f"; did you mean {quoted(near)}?" if near else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name most like `name`, or ""; capitals alone make no great difference."""
    names = list(known)
    alike = [each for each in names if each.casefold() == name.casefold()]
    close = difflib.get_close_matches(name[:_LONGEST_NAME], names, n=1, cutoff=0.6)
    return next(iter((*alike, *close)), "")


def _line(name: str, problem: Problem) -> str:
    place = f"{name}:{problem.line}:{problem.column}" if problem.line else name
    return (
        f"{place}: {problem.path}: {problem.message}"
        if problem.path
        else (f"{place}: {problem.message}")
    )
