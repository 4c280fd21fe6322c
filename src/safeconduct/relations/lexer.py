"""Cuts a schema into words and signs, as SpiceDB's schema language has them.

A line that ends behind a name, a closing bracket or a star ends a statement, so that no
semicolons are needed; everywhere else line ends are only space. Comments of both kinds are
skipped, those that document included.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from safeconduct.relations.errors import SchemaError

END = "end of line"
EOF = "end of the schema"
NAME = "name"
STRANGE = "strange"

_TOKEN = re.compile(
    r"(?P<space>[ \t]+)"
    r"|(?P<newline>\r\n|\r|\n)"
    r"|(?P<comment>//[^\r\n]*)"
    r"|(?P<block>/\*)"
    r"|(?P<name>\w+)"
    r"|(?P<sign>\.\.\.|->|[{}()|+\-&/=:;#*.])"
)
_ENDS_BEFORE_NEWLINE = frozenset({"}", ")", "*"})


class Token(NamedTuple):
    """One word or sign. `kind` is the sign itself, NAME, END, EOF or STRANGE."""

    kind: str
    text: str
    line: int


def tokens(text: str) -> list[Token]:
    """Cut a schema.

    Raises:
        SchemaError: If a comment does not end.
    """
    found: list[Token] = []
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            # Not refused here: what it stands in may have a better reason to be.
            found.append(Token(STRANGE, text[at], line))
            at += 1
            continue
        kind, said, at = str(match.lastgroup), match[0], match.end()
        if kind == "block":
            end = text.find("*/", at)
            if end < 0:
                raise SchemaError("a comment begins here and does not end", line=line)
            line += text.count("\n", at, end)
            at = end + 2
        elif kind == "newline":
            if found and (found[-1].kind == NAME or found[-1].kind in _ENDS_BEFORE_NEWLINE):
                found.append(Token(END, "", line))
            line += 1
        elif kind == "name":
            found.append(Token(NAME, said, line))
        elif kind == "sign":
            found.append(Token(said, said, line))
    found.append(Token(EOF, "", line))
    return found
