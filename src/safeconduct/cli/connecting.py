"""`safeconduct connect`: the exact lines that make a client use this gateway."""

# ruff: noqa: PLC0415  imports inside functions: see the package

from __future__ import annotations

from typing import Annotated, Literal

import typer

from safeconduct.cli.options import DEFAULT_FILE, AsJson, Config, HostKey

Client = Literal[
    "claude-code", "codex", "cursor", "vscode", "gemini", "opencode", "inspector", "mcp-remote"
]


def add_to(whole: typer.Typer) -> None:
    """Add the command."""
    whole.command("connect")(connect)


def connect(
    client: Annotated[Client, typer.Argument(help="The client.")],
    *,
    server: Annotated[
        str | None,
        typer.Option(help="One server; without it, the person chooses.", metavar="KEY"),
    ] = None,
    config: Config = DEFAULT_FILE,
    host: HostKey = None,
    as_json: AsJson = False,
) -> None:
    """Print what to type or to write, so that a client uses this gateway."""
    from safeconduct.cli.work import connecting
    from safeconduct.cli.work.asking import Asked

    asked = Asked(config=config, as_json=as_json, host=host)
    connecting.connect(asked, client, server=server)
