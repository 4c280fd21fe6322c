"""The reference of the configuration file, written from the model itself.

docs/configuration.md is this text; a test holds the two together.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from safeconduct.core.model import Level
from safeconduct.core.secrets import Secret
from safeconduct.settings.environment import VARIABLES
from safeconduct.settings.marks import About, Range, Shape
from safeconduct.settings.model import (
    SettingsFile,
)

_OPENING = """\
# Configuration

One YAML file describes an installation. `safeconduct serve -c safeconduct.yaml` applies it and
serves. A key that is not listed here is an error that names its line and the nearest known key.

- **Secrets** are never written in the file. Write `{env: NAME}` to take one from an environment
  variable or `{file: PATH}` to read one from a file; one line break at its end is dropped.
- **Paths** are relative to the directory of the configuration file.
- **YAML** is read by the core schema of YAML 1.2: only `true` and `false` are truth values, and
  dates stay texts. Keys may not repeat; tags and merge keys are refused; anchors may be used.
- **Limits**: the file has at most 1 MiB, 32 levels and 100,000 values.
"""

_VARIABLES = """\
## Environment variables

These take the place of what the file says under `server`. An empty variable counts as unset;
lists are separated by commas.

| Variable | Setting |
| --- | --- |
"""

_WORDS = {str: "text", int: "whole number", bool: "`true` or `false`", Path: "path"}


def describe_settings() -> str:
    """Return the reference in Markdown: every key with its type, default, unit and meaning."""
    sections = [_OPENING, *_sections(SettingsFile, "")]
    rows = [f"| `{name}` | `server.{setting}` |" for name, setting in VARIABLES.items()]
    return "\n".join([*sections, _VARIABLES + "\n".join(rows) + "\n"])


def _sections(kind: type[msgspec.Struct], path: str) -> Iterator[str]:
    hints = get_type_hints(kind, include_extras=True)
    title = f"## `{path}`" if path else "## The file"
    summary = (kind.__doc__ or "").partition("\n")[0]
    rows = []
    inner: list[tuple[type[msgspec.Struct], str]] = []
    for field in msgspec.structs.fields(kind):
        hint, marks = _opened(hints[field.name])
        rows.append(_row(field, hint, marks))
        child = f"{path}.{field.encode_name}" if path else field.encode_name
        inner.extend(_inner(hint, child))
    head = "| Key | Value | Default | Meaning |\n| --- | --- | --- | --- |\n"
    yield f"{title}\n\n{summary}\n\n{head}" + "\n".join(rows) + "\n"
    for nested, child in inner:
        yield from _sections(nested, child)


def _row(field: Any, hint: Any, marks: tuple[Any, ...]) -> str:
    about = next(mark for mark in marks if isinstance(mark, About))
    limits = "".join(f", {m.least} to {m.most}" for m in marks if isinstance(m, Range))
    unit = f" ({about.unit})" if about.unit else ""
    cells = (
        f"`{field.encode_name}`",
        _word(hint, marks) + limits + unit,
        _default(field, about),
        about.text,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(field: Any, about: About) -> str:
    if about.same_as:
        return f"same as `{about.same_as}`"
    if about.default:
        return about.default
    if field.required:
        return "**required**"
    if field.default is msgspec.NODEFAULT:
        return "none" if field.default_factory is dict else "see below"
    return f"`{_literal(field.default)}`" if field.default not in {None, "", ()} else "none"


def _literal(value: Any) -> str:
    if isinstance(value, Level):
        return value.word
    return str(value).lower() if isinstance(value, bool) else str(value)


def _word(hint: Any, marks: tuple[Any, ...] = ()) -> str:
    hint, more = _opened(hint)
    for mark in (*marks, *more):
        if isinstance(mark, Shape):
            return mark.word
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        return " or ".join(_word(each) for each in arguments if each is not type(None))
    if origin is tuple:
        return f"list of {_word(arguments[0])}"
    if origin is dict:
        return "mapping"
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in arguments)
    return _simple(hint)


def _simple(hint: Any) -> str:
    if hint is Secret:
        return "secret"
    if issubclass(hint, enum.Enum):
        return " or ".join(f"`{level.word}`" for level in Level)
    return _WORDS.get(hint, "mapping")


def _inner(hint: Any, path: str) -> Iterator[tuple[type[msgspec.Struct], str]]:
    """Yield the structures inside a type, with the path by which a reader finds them."""
    hint, _ = _opened(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        for each in arguments:
            yield from _inner(each, path)
    elif origin is tuple:
        yield from _inner(arguments[0], f"{path}[]")
    elif origin is dict:
        yield from _inner(arguments[1], f"{path}.NAME")
    elif isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield hint, path


def _opened(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(hint) is Annotated:
        return hint.__origin__, hint.__metadata__
    return hint, ()
