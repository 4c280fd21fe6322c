"""Reads a configuration: text in, checked values out, or every problem at once."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import structs

from safeconduct.settings import environment
from safeconduct.settings.checks import Checks
from safeconduct.settings.model import (
    Settings,
    SettingsFile,
)
from safeconduct.settings.problems import Mark, Problems, SettingsError
from safeconduct.settings.reader import Reader
from safeconduct.settings.references import References
from safeconduct.settings.source import MOST_BYTES, Unreadable, compose
from safeconduct.settings.tenants import OperatorSettings, PersonSettings


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """Read a file; everything it refers to is relative to its directory.

    Raises:
        SettingsError: If it cannot be read or used.
    """
    problems = Problems(path.name or str(path))
    try:
        with path.open("rb") as stream:
            text = stream.read(MOST_BYTES + 1).decode("utf-8-sig")
    except OSError as error:
        reason = os.strerror(error.errno or errno.EIO)
        problems.add("", Mark(line=0, column=0), f"the file cannot be read: {reason}")
        problems.check()
        raise
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        problems.add("", Mark(line=line, column=1), "the file must be UTF-8 text")
        problems.check()
        raise
    return parse(text, base=path.parent, environ=environ, name=path.name)


def parse(
    text: str, *, base: Path, environ: Mapping[str, str], name: str = "safeconduct.yaml"
) -> Settings:
    """Read a text.

    Args:
        text: One YAML document of at most 1 MiB.
        base: Directory that relative paths start from.
        environ: Overrides of `server:` and values for `{env: NAME}`.
        name: What problems call the text.

    Raises:
        SettingsError: If anything is wrong with it.
    """
    problems = Problems(name)
    base = base.absolute()
    references = References(base=base, environ=environ)
    reader = Reader(problems=problems, references=references, base=base)
    document = _read(text, environ, problems, reader)
    checks = Checks(problems=problems, places=reader.places)
    checks.run(document)
    problems.check()
    warnings = (*environment.strays(environ), *references.warnings, *checks.warnings)
    # A default path starts from the same directory as a written one.
    server = structs.replace(document.server, data_dir=base / document.server.data_dir)
    return Settings(
        server=server,
        hosts=document.hosts,
        warnings=warnings,
        password_places=_password_places(document, reader.places, name),
    )


def _password_places(
    document: SettingsFile, places: Mapping[str, Mark], name: str
) -> dict[tuple[str, str], str]:
    """Say where the file gives passwords, by host and address."""
    found = {}
    for index, host in enumerate(document.hosts):
        given: dict[str, PersonSettings | OperatorSettings] = {
            f"people[{number}]": each for number, each in enumerate(host.people)
        }
        given |= {f"operators[{number}]": each for number, each in enumerate(host.operators)}
        for member, each in given.items():
            mark = places.get(f"hosts[{index}].{member}.password")
            if mark is not None and each.password is not None:
                found[host.key, each.email] = f"{name}, line {mark.line}"
    return found


def _read(
    text: str, environ: Mapping[str, str], problems: Problems, reader: Reader
) -> SettingsFile:
    try:
        root = environment.override(compose(text, problems), environ, problems)
        document = reader.read(root, SettingsFile, "")
    except Unreadable as error:
        problems.check()
        raise SettingsError(str(error), ()) from error  # not reached: it noted a problem
    problems.check()
    assert isinstance(document, SettingsFile)
    return document
