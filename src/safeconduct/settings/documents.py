"""Documents beside the configuration file: JSON or YAML in, plain values out.

YAML is read as the configuration itself is, but may be as large and as deep as JSON.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from safeconduct.core.canonical import StrictJSONError
from safeconduct.core.canonical import parse as parse_json
from safeconduct.settings.problems import Mark, Problems
from safeconduct.settings.reader import plain
from safeconduct.settings.source import DOCUMENT, Unreadable, compose

_MOST_BYTES = 16 * 1024 * 1024
_WHOLE = Mark(line=0, column=0)


def read_document(path: Path) -> Any:
    """Return what a document holds.

    Raises:
        SettingsError: If it cannot be read; says where in the document.
    """
    problems = Problems(path.name)
    raw, value = _read(path, problems), None
    try:
        value = _value(raw, problems)
    except Unreadable:
        pass  # it has been noted
    except StrictJSONError as error:
        problems.add("", _WHOLE, str(error))
    except UnicodeDecodeError:
        problems.add("", _WHOLE, "the text is not UTF-8")
    problems.check()
    return value


def _value(raw: bytes, problems: Problems) -> Any:
    if raw.lstrip().startswith(b"{"):
        if len(raw) > _MOST_BYTES:
            raise StrictJSONError("the document is larger than 16 MiB")
        return parse_json(raw)
    return plain(compose(raw.decode("utf-8-sig"), problems, DOCUMENT))


def _read(path: Path, problems: Problems) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_MOST_BYTES + 1)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "unreadable"
        problems.add("", _WHOLE, f"the file cannot be read: {reason}")
        problems.check()
        raise
