"""What can be told of a module from its text alone, before anybody parses it.

Imports that say what is so anyway in Rego v1 are left out: the engine would take `import rego.v1`
to declare a name `v1`. And what the engine's parser would refuse in words that help nobody is
refused here in others.
"""

from __future__ import annotations

import re

from safeconduct.policy.rego import BundleError

MAX_LINE = 1024
_IMPLIED = re.compile(
    r"\s*import\s+(rego\.v1|future\.keywords(\.(contains|every|if|in))?)\s*(#.*)?"
)
_FUTURE = re.compile(r"\s*import\s+(?P<what>(future|rego)\b[\w.]*)")
_PREAMBLE = re.compile(r"\s*(#.*|(package|import)\b.*)?")
_ANNOTATED = re.compile(r"^(\s*#)\s*METADATA\s*$")
_INTERPOLATED = re.compile(r'\$["`]')


def plain(text: str) -> str:
    """Blank the imports that a module of Rego v1 needs not; every other byte stays in place."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if _PREAMBLE.fullmatch(line) is None:
            break
        if _IMPLIED.fullmatch(line):
            lines[number] = " " * len(line.encode())
    return "\n".join(lines)


def unannotated(text: str) -> str:
    """Make what is said of a package a plain comment: OPA takes that once for each package."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if _PREAMBLE.fullmatch(line) is None or line.lstrip().startswith("package"):
            break
        lines[number] = _ANNOTATED.sub(r"\1", line)
    return "\n".join(lines)


def check_wording(file: str, text: str) -> None:
    """Refuse what the parser could not explain.

    Raises:
        BundleError: If a line is too long, or something of Rego's future is imported.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if len(line) > MAX_LINE:
            raise BundleError(
                f"{file}:{number}: a line of {len(line)} characters; at most {MAX_LINE} are taken. "
                "Break it, or put what is long into the data"
            )
    for number, line in enumerate(plain(text).split("\n"), start=1):
        if _PREAMBLE.fullmatch(line) is None:
            break
        future = _FUTURE.match(line)
        if future:
            raise BundleError(
                f"{file}:{number}: {future['what']} cannot be imported here; rules are Rego v1, "
                "which has `if`, `in`, `contains` and `every` without any import"
            )


def meant(text: str, line: int) -> str:
    """Say what somebody probably meant by a line that cannot be parsed, or ""."""
    lines = text.split("\n")
    written = lines[line - 1] if 0 < line <= len(lines) else ""
    if _INTERPOLATED.search(written):
        return '`$"..."` is not supported; write `sprintf("...", [...])`'
    return ""
