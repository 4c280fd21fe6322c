"""The values of an installation: everything the configuration file may say.

`About` gives each key its meaning and unit, and docs/configuration.md is generated from these
values.
"""

# Annotations are evaluated here: the reader and the documentation are driven by them.

from typing import Annotated

from msgspec import field

from safeconduct.core.model import Value
from safeconduct.settings.marks import About
from safeconduct.settings.process import ServerSettings
from safeconduct.settings.tenants import HostSettings


class SettingsFile(Value, frozen=True):
    """What stands in the file."""

    server: Annotated[ServerSettings, About(text="The process.")] = field(
        default_factory=ServerSettings
    )
    hosts: Annotated[tuple[HostSettings, ...], About(text="The tenants it serves.")] = ()


class Settings(Value, frozen=True):
    """An installation, checked.

    Attributes:
        server: The process.
        hosts: The tenants, in the order of the file.
        warnings: Sentences for the person who starts it; nothing secret in them.
        password_places: Where the file gives somebody a password, by host and address: whoever
            has one there gets no other by command or page.
    """

    server: ServerSettings
    hosts: tuple[HostSettings, ...]
    warnings: tuple[str, ...] = ()
    password_places: dict[tuple[str, str], str] = {}
