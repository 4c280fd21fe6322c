"""What a command was given, and who gave it. Quick to import: no database, no web server."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from safeconduct.cli.failures import Failed
from safeconduct.cli.output import Out, warn
from safeconduct.settings import Settings, SettingsError, load


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What every command was given."""

    config: Path
    as_json: bool = False
    host: str | None = None

    @property
    def out(self) -> Out:
        return Out(as_json=self.as_json)


def settings_of(config: Path) -> Settings:
    """Read the configuration file.

    Raises:
        Failed: With everything that is wrong with it.
    """
    if not config.exists():
        raise Failed(f"There is no file {config}. Name the configuration with -c FILE.")
    try:
        settings = load(config, os.environ)
    except SettingsError as error:
        raise Failed(str(error)) from error
    for warning in settings.warnings:
        warn(warning)
    return settings


def user() -> str:
    """Name the operating system's user, by the process's own id: variables can be made up."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
