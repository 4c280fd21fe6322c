"""From marked nodes to values, driven by the annotations of the model.

Every problem is noted where it stands and reading goes on beside it, so that one run shows
them all. Messages never repeat a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from safeconduct.core.model import Level
from safeconduct.core.secrets import Secret
from safeconduct.settings import forms
from safeconduct.settings.marks import About, Range, SecretUrl, Shape, Switch
from safeconduct.settings.problems import Mark, Problems, join, nearest, quoted, suggestion
from safeconduct.settings.references import References
from safeconduct.settings.source import Mapping, Node, Scalar, Sequence, Unreadable

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
# At most two digits of exponent, so that no number is infinite.
_NUMBER = re.compile(r"-?[0-9]{1,64}(\.[0-9]{1,64}([eE][-+]?[0-9]{1,2})?|[eE][-+]?[0-9]{1,2})")
_FLAGS = {"true": True, "false": False}
_NULLS = frozenset({"", "~", "null"})
_LEVELS = tuple(level.word for level in Level)
_SECRET_HELP = "a secret is never written here; write {env: NAME} or {file: PATH}"  # noqa: S105  a sentence


class Reader:
    """Reads one document.

    Attributes:
        places: Where each setting that was read stands, by its path.
    """

    def __init__(self, *, problems: Problems, references: References, base: Path) -> None:
        self._problems = problems
        self._references = references
        self._base = base
        self.places: dict[str, Mark] = {}

    def read(self, node: Node, hint: Any, path: str, marks: tuple[Any, ...] = ()) -> Any:
        """Return the node as a value of the annotated type.

        Raises:
            Unreadable: If it is none; the problems have been noted.
        """
        if get_origin(hint) is Annotated:
            return self.read(node, hint.__origin__, path, (*hint.__metadata__, *marks))
        self.places[path] = node.mark
        origin, arguments = get_origin(hint), get_args(hint)
        if origin in {Union, UnionType}:
            return self._union(node, hint, path, marks)
        if origin is None:
            return self._single(node, hint, path, marks)
        if origin is Literal:
            return self._choice(node, arguments, path)
        assert origin in {tuple, dict}, hint
        wanted = self._list if origin is tuple else self._table
        return wanted(node, arguments[0 if origin is tuple else 1], path)

    def _single(self, node: Node, hint: Any, path: str, marks: tuple[Any, ...]) -> Any:
        if hint is Any:
            return self._plain(node, path)
        if issubclass(hint, msgspec.Struct):
            return self._struct(node, hint, path)
        return self._leaf(node, hint, path, marks)

    def _leaf(self, node: Node, hint: Any, path: str, marks: tuple[Any, ...]) -> Any:
        if hint is Secret:
            return self._secret(
                node, path, next((m for m in marks if isinstance(m, SecretUrl)), None)
            )
        if hint is bool:
            return self._flag(node, path)
        if hint is int:
            return self._integer(node, path, marks)
        if hint is Level:
            return Level.parse(self._choice(node, _LEVELS, path))
        return self._path(node, path) if hint is Path else self._shaped(node, path, marks)

    def _shaped(self, node: Node, path: str, marks: tuple[Any, ...]) -> str:
        text = self._text(node, path)
        for mark in marks:
            if isinstance(mark, Shape):
                with self._noting(path, node.mark):
                    text = mark.form(text)
        return text

    def _union(self, node: Node, hint: Any, path: str, marks: tuple[Any, ...]) -> Any:
        members = [member for member in get_args(hint) if member is not type(None)]
        if len(members) < len(get_args(hint)) and _is_null(node):
            return None
        if any(isinstance(mark, Switch) for mark in marks):
            return self._switch(node, members[0], path)
        fits = [member for member in members if (get_origin(member) is tuple) == _is_list(node)]
        return self.read(node, (fits or members)[0], path, marks)

    def _switch(self, node: Node, hint: Any, path: str) -> Any:
        if isinstance(node, Mapping):
            return self.read(node, hint, path)
        flag = _FLAGS.get(node.text) if isinstance(node, Scalar) and node.plain else None
        if flag is None:
            raise self._wrong(path, node, "must be true, false, or a mapping of settings")
        return hint() if flag else None

    def _struct(self, node: Node, kind: type[msgspec.Struct], path: str) -> Any:
        if not isinstance(node, Mapping):
            raise self._wrong(path, node, "must be a mapping of settings (key: value)")
        hints = get_type_hints(kind, include_extras=True)
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        values: dict[str, Any] = {}
        broken: set[str] = set()
        for key, child in node.entries:
            if key.text not in fields:
                self._unknown(key, path, fields)
                broken.add(nearest(key.text, fields) or key.text)
                continue
            try:
                name = fields[key.text].name
                values[name] = self.read(child, hints[name], join(path, key.text))
            except Unreadable:
                broken.add(key.text)
        for written, field in fields.items():
            if field.required and field.name not in values and written not in broken:
                self._problems.add(path, node.mark, f"the key {quoted(written)} is missing")
                broken.add(written)
        if broken:
            raise Unreadable(path)
        return kind(**_completed(values, hints))

    def _unknown(self, key: Scalar, path: str, known: dict[str, Any]) -> None:
        near = suggestion(key.text, known)
        self._problems.add(path, key.mark, f"unknown key {quoted(key.text)}{near}")

    def _list(self, node: Node, hint: Any, path: str) -> tuple[Any, ...]:
        if not isinstance(node, Sequence):
            raise self._wrong(path, node, "must be a list")
        items = []
        for index, child in enumerate(node.items):
            try:
                items.append(self.read(child, hint, join(path, index)))
            except Unreadable:
                continue
        if len(items) < len(node.items):
            raise Unreadable(path)
        return tuple(items)

    def _table(self, node: Node, hint: Any, path: str) -> dict[str, Any]:
        if not isinstance(node, Mapping):
            raise self._wrong(path, node, "must be a mapping (name: value)")
        values = {}
        broken = False
        for key, child in node.entries:
            if not key.text.strip():
                self._problems.add(path, key.mark, "a name is empty")
                broken = True
                continue
            try:
                values[key.text] = self.read(child, hint, join(path, key.text))
            except Unreadable:
                broken = True
        if broken:
            raise Unreadable(path)
        return values

    def _plain(self, node: Node, path: str) -> Any:
        match node:
            case Sequence():
                return list(self._list(node, Any, path))
            case Mapping():
                return self._table(node, Any, path)
            case Scalar():
                return _scalar(node)

    def _choice(self, node: Node, words: tuple[str, ...], path: str) -> str:
        if not isinstance(node, Scalar) or node.text not in words:
            near = suggestion(node.text, words) if isinstance(node, Scalar) else ""
            raise self._wrong(path, node, f"must be {_either(words)}{near}")
        return node.text

    def _flag(self, node: Node, path: str) -> bool:
        if not isinstance(node, Scalar) or not node.plain or node.text not in _FLAGS:
            raise self._wrong(path, node, "must be true or false")
        return _FLAGS[node.text]

    def _integer(self, node: Node, path: str, marks: tuple[Any, ...]) -> int:
        if not isinstance(node, Scalar) or not node.plain or not _INTEGER.fullmatch(node.text):
            raise self._wrong(path, node, "must be a whole number")
        number = int(node.text)
        for mark in marks:
            if isinstance(mark, Range) and not mark.least <= number <= mark.most:
                raise self._wrong(path, node, f"must be from {mark.least} to {mark.most}")
        return number

    def _text(self, node: Node, path: str) -> str:
        if not isinstance(node, Scalar):
            raise self._wrong(path, node, "must be a text")
        if not node.mark.variable and not isinstance(_scalar(node), str):
            what = "must be a text; it is empty" if _is_null(node) else "must be a text; quote it"
            raise self._wrong(path, node, what)
        return node.text

    def _path(self, node: Node, path: str) -> Path:
        text = self._text(node, path)
        if not text.strip():
            raise self._wrong(path, node, "must be a path; it is empty")
        return self._base / text

    def _secret(self, node: Node, path: str, url: SecretUrl | None) -> Secret:
        if isinstance(node, Scalar) and url:
            return self._secret_url(node, path, url)
        # Neither a key nor a value is repeated here: either may be the secret itself.
        if not isinstance(node, Mapping) or len(node.entries) != 1:
            raise self._wrong(path, node, _SECRET_HELP)
        key, target = node.entries[0]
        if key.text not in {"env", "file"} or not isinstance(target, Scalar) or not target.text:
            raise self._wrong(path, node, _SECRET_HELP)
        with self._noting(path, target.mark):
            secret = self._references.resolve(key.text, target.text, path)
            return Secret(url.form(secret.reveal())) if url else secret

    def _secret_url(self, node: Scalar, path: str, url: SecretUrl) -> Secret:
        with self._noting(path, node.mark):
            if not node.mark.variable and forms.holds_password(node.text):
                raise ValueError(f"it holds a password; {_SECRET_HELP}")
            return Secret(url.form(node.text))

    def _wrong(self, path: str, node: Node, message: str) -> Unreadable:
        self._problems.add(path, node.mark, message)
        return Unreadable(path)

    @contextmanager
    def _noting(self, path: str, mark: Mark) -> Iterator[None]:
        """Note what a form or a reference has to say, at the place it is about."""
        try:
            yield
        except ValueError as error:
            self._problems.add(path, mark, str(error))
            raise Unreadable(path) from None


def _completed(values: dict[str, Any], hints: dict[str, Any]) -> dict[str, Any]:
    for name, hint in hints.items():
        for mark in getattr(hint, "__metadata__", ()):
            if isinstance(mark, About) and mark.same_as and name not in values:
                values[name] = values[mark.same_as]
    return values


def plain(node: Node) -> Any:
    """Return a node whose type nobody prescribed."""
    match node:
        case Sequence():
            return [plain(each) for each in node.items]
        case Mapping():
            return {key.text: plain(each) for key, each in node.entries}
        case Scalar():
            return _scalar(node)


def _scalar(node: Scalar) -> Any:
    """Read a scalar whose type nobody prescribed, by YAML 1.2's core schema."""
    if not node.plain:
        return node.text
    if _is_null(node):
        return None
    if node.text in _FLAGS:
        return _FLAGS[node.text]
    if _INTEGER.fullmatch(node.text):
        return int(node.text)
    return float(node.text) if _NUMBER.fullmatch(node.text) else node.text


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.plain and node.text in _NULLS


def _is_list(node: Node) -> bool:
    return isinstance(node, Sequence)


def _either(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
