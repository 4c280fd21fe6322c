"""Reads SpiceDB's schema language. By hand, so that each refusal can say what to do instead.

From loose to tight the operators are `-`, `&`, `+`, then the arrows, and all of them lean
left: `a - b & c + d` is `a - (b & (c + d))`. That is how SpiceDB reads it, and not what most
people expect: write brackets.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from safeconduct.relations.errors import SchemaError
from safeconduct.relations.lexer import END, EOF, NAME, STRANGE, Token, tokens
from safeconduct.relations.syntax import (
    Allowed,
    Arrow,
    Definition,
    Exclusion,
    Expression,
    Intersection,
    Itself,
    Nil,
    Permission,
    Ref,
    Relation,
    Union,
)

_BYTES = 256 * 1024
_BRACKETS = 12  # deeper nesting helps no reader and would take the evaluator's stack
_WORDS = frozenset({"definition", "caveat", "relation", "permission", "nil", "with"})
_FLAGS = frozenset({"expiration", "self"})
_NAME = re.compile(r"[a-z][a-z0-9_]{1,62}[a-z0-9]")
_CAVEAT = (
    "caveats are not supported here: write the condition as a Rego rule over the call's "
    "arguments (input.arguments) and keep the relation without it"
)
_REFUSED_FLAGS = {
    "typechecking": "type annotations are not supported; leave them out",
    "partial": "partials are not supported; repeat the relations in each definition",
    "import": "imports are not supported; put everything into one schema",
}


def parsed(text: str) -> dict[str, Definition]:
    """Read a schema into its definitions.

    Raises:
        SchemaError: If the text is not a schema, or uses what is not supported here.
    """
    if len(text.encode()) > _BYTES:
        raise SchemaError(f"the schema is larger than {_BYTES // 1024} KiB")
    return _Parser(tokens(text)).schema()


class _Parser:
    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._at = 0
        self._flags: set[str] = set()
        self._words = set(_WORDS)
        self._brackets = 0

    def schema(self) -> dict[str, Definition]:
        definitions: dict[str, Definition] = {}
        while True:
            self._accept(END, ";")
            token = self._take()
            match token.text if token.kind == NAME else token.kind:
                case "definition":
                    definition = self._definition(token.line)
                    if definition.name in definitions:
                        raise SchemaError(f"{definition.name} is defined twice", line=token.line)
                    definitions[definition.name] = definition
                case "use":
                    self._use(token.line, late=bool(definitions))
                case "caveat":
                    raise SchemaError(_CAVEAT, line=token.line)
                case "partial" | "import" as flag:
                    raise SchemaError(_REFUSED_FLAGS[flag], line=token.line)
                case _ if token.kind == EOF:
                    return definitions
                case _:
                    raise self._unexpected(token, "a definition")

    def _use(self, line: int, *, late: bool) -> None:
        flag = self._expect(NAME).text
        if flag in _REFUSED_FLAGS:
            raise SchemaError(_REFUSED_FLAGS[flag], line=line)
        if flag not in _FLAGS:
            raise SchemaError(
                f"there is no {flag!r} to use; there are expiration and self", line=line
            )
        if late:
            raise SchemaError("`use` comes before the first definition", line=line)
        self._flags.add(flag)
        self._words |= {"expiration", "and"} if flag == "expiration" else {flag}

    def _definition(self, line: int) -> Definition:
        name = self._type_name()
        self._expect("{")
        members: dict[str, Relation | Permission] = {}
        while not self._accept("}"):
            token = self._peek()
            match token.text:
                case "relation":
                    self._take()
                    self._keep(members, self._relation(token.line), name)
                case "permission":
                    self._take()
                    self._keep(members, self._permission(token.line), name)
                case "...":
                    raise SchemaError(_REFUSED_FLAGS["partial"], line=token.line)
                case _:
                    pass  # an empty statement, or none
            self._end_of_statement()
        return Definition(name=name, members=members, line=line)

    def _keep(
        self,
        members: dict[str, Relation | Permission],
        member: Relation | Permission,
        definition: str,
    ) -> None:
        if member.name in members:
            raise SchemaError(f"{definition} has {member.name} twice", line=member.line)
        members[member.name] = member

    def _relation(self, line: int) -> Relation:
        name = self._checked_name(self._identifier())
        self._expect(":")
        allowed = [self._allowed()]
        while self._accept("|"):
            allowed.append(self._allowed())
        return Relation(name=name, allowed=tuple(allowed), line=line)

    def _allowed(self) -> Allowed:
        line = self._peek().line
        name = self._type_name()
        relation, wildcard = "", False
        if self._accept(":"):
            self._expect("*")
            wildcard = True
        elif self._accept("#") and not self._accept("..."):
            relation = self._checked_name(self._identifier())
        return Allowed(
            type=name, relation=relation, wildcard=wildcard, expires=self._trait(), line=line
        )

    def _trait(self) -> bool:
        if self._peek().text != "with":
            return False
        line = self._take().line
        trait = self._expect(NAME).text
        if trait != "expiration":
            raise SchemaError(_CAVEAT, line=line)
        if "expiration" not in self._flags:
            raise SchemaError("`with expiration` needs `use expiration` at the top", line=line)
        return True

    def _permission(self, line: int) -> Permission:
        name = self._checked_name(self._identifier())
        if self._peek().kind == ":":
            raise SchemaError(_REFUSED_FLAGS["typechecking"], line=line)
        self._expect("=")
        return Permission(name=name, expression=self._expression(), line=line)

    def _expression(self) -> Expression:
        first, others = self._intersection(), []
        while self._accept("-"):
            others.append(self._intersection())
        return Exclusion(first=first, others=tuple(others)) if others else first

    def _intersection(self) -> Expression:
        parts = self._parts("&", self._union)
        return Intersection(parts=tuple(parts)) if len(parts) > 1 else parts[0]

    def _union(self) -> Expression:
        parts = self._parts("+", self._operand)
        return Union(parts=tuple(parts)) if len(parts) > 1 else parts[0]

    def _parts(self, sign: str, part: Callable[[], Expression]) -> list[Expression]:
        parts = [part()]
        while self._accept(sign):
            parts.append(part())
        return parts

    def _operand(self) -> Expression:
        token = self._peek()
        if self._accept("("):
            return self._bracketed(token.line)
        if token.text == "nil":
            self._take()
            return Nil()
        if token.text == "self" and "self" in self._flags:
            self._take()
            return Itself()
        return self._arrow(self._identifier())

    def _bracketed(self, line: int) -> Expression:
        self._brackets += 1
        if self._brackets > _BRACKETS:
            raise SchemaError(f"more than {_BRACKETS} brackets inside each other", line=line)
        inner = self._expression()
        self._expect(")")
        self._brackets -= 1
        return inner

    def _arrow(self, left: Token) -> Expression:
        found: Ref | Arrow = Ref(name=left.text, line=left.line)
        while self._peek().kind in {"->", "."}:
            if isinstance(found, Arrow):
                raise SchemaError(
                    "an arrow cannot follow an arrow; give the second step a permission of its own",
                    line=left.line,
                )
            found = self._pointed(left)
        return found

    def _pointed(self, left: Token) -> Arrow:
        function = ""
        if self._take().kind == ".":
            function = self._identifier().text
            if function not in {"any", "all"}:
                raise SchemaError(
                    f".{function}() is not there; there are .any() and .all()", line=left.line
                )
            self._expect("(")
        name = self._checked_name(self._identifier())
        if function:
            self._expect(")")
        return Arrow(relation=left.text, name=name, every=function == "all", line=left.line)

    def _type_name(self) -> str:
        segments = [self._checked_name(self._identifier())]
        while self._accept("/"):
            segments.append(self._checked_name(self._identifier()))
        return "/".join(segments)

    def _identifier(self) -> Token:
        token = self._expect(NAME)
        if token.text in self._words:
            raise SchemaError(
                f"{token.text} is a word of the language, not a name", line=token.line
            )
        return token

    def _checked_name(self, token: Token) -> str:
        if _NAME.fullmatch(token.text) is None:
            raise SchemaError(
                f"{token.text} is no name: 3 to 64 of a-z, 0-9 and _, beginning with a letter "
                "and not ending with _",
                line=token.line,
            )
        return token.text

    def _end_of_statement(self) -> None:
        token = self._take()
        if token.kind not in {END, ";"}:
            raise self._unexpected(token, "the end of the line or a semicolon")

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _accept(self, *kinds: str) -> bool:
        if self._peek().kind not in kinds:
            return False
        self._take()
        return True

    def _expect(self, kind: str) -> Token:
        token = self._take()
        if token.kind != kind:
            raise self._unexpected(token, f"a {NAME}" if kind == NAME else f"`{kind}`")
        return token

    @staticmethod
    def _unexpected(token: Token, wanted: str) -> SchemaError:
        if token.kind == STRANGE:
            return SchemaError(
                f"{token.text!r} is not part of the schema language", line=token.line
            )
        said = f"`{token.text}`" if token.text else f"the {token.kind.removeprefix('the ')}"
        return SchemaError(f"{said} where {wanted} was expected", line=token.line)
