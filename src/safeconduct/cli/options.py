"""The options that commands share, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_FILE = Path("safeconduct.yaml")

Config = Annotated[
    Path, typer.Option("--config", "-c", help="The configuration file.", metavar="FILE")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
HostKey = Annotated[
    str | None,
    typer.Option("--host", help="Key of the host; needed when there are several.", metavar="KEY"),
]
