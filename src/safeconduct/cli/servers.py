"""`safeconduct servers`: the MCP servers of a host and their tools."""

# ruff: noqa: PLC0415  imports inside functions: see the package

from __future__ import annotations

from typing import Annotated, Literal

import typer

from safeconduct.cli.options import DEFAULT_FILE, AsJson, Config, HostKey

_Key = Annotated[str, typer.Argument(help="Key of the server.", metavar="SERVER")]
_Name = Annotated[str, typer.Argument(help="Name of the tool, or of what the kind says.")]
_Digest = Annotated[
    str | None, typer.Option("--digest", help="Of what you read; `servers review` shows it.")
]
_Kind = Annotated[
    Literal["tool", "prompt", "template", "instructions"],
    typer.Option("--kind", help="What it is. A template is named by its URI."),
]


def commands() -> typer.Typer:
    """Return the commands."""
    group = typer.Typer(no_args_is_help=True, help="MCP servers and tools.", rich_markup_mode=None)
    group.command("list")(list_servers)
    group.command("show")(show)
    group.command("check")(check)
    group.command("review")(review)
    group.command("accept")(accept)
    group.command("refuse")(refuse)
    return group


def list_servers(
    *, config: Config = DEFAULT_FILE, host: HostKey = None, as_json: AsJson = False
) -> None:
    """List the servers of a host."""
    from safeconduct.cli.work import servers
    from safeconduct.cli.work.asking import Asked

    servers.list_servers(Asked(config=config, as_json=as_json, host=host))


def show(
    server: _Key, *, config: Config = DEFAULT_FILE, host: HostKey = None, as_json: AsJson = False
) -> None:
    """Show a server's tools: their levels, why, and which wait for review."""
    from safeconduct.cli.work import servers
    from safeconduct.cli.work.asking import Asked

    servers.show(Asked(config=config, as_json=as_json, host=host), server)


def check(
    server: Annotated[str | None, typer.Argument(help="One server; without it, all.")] = None,
    *,
    config: Config = DEFAULT_FILE,
    host: HostKey = None,
    as_json: AsJson = False,
) -> None:
    """Read the tools again; what differs from what was reviewed goes into quarantine."""
    from safeconduct.cli.work import servers
    from safeconduct.cli.work.asking import Asked

    raise typer.Exit(servers.check(Asked(config=config, as_json=as_json, host=host), server))


def review(
    server: Annotated[str | None, typer.Argument(help="One server; without it, all.")] = None,
    name: Annotated[str | None, typer.Argument(help="What to compare; all without it.")] = None,
    *,
    kind: _Kind = "tool",
    config: Config = DEFAULT_FILE,
    host: HostKey = None,
    as_json: AsJson = False,
) -> None:
    """Show what waits for review; with a name, what it was and what it is, word by word."""
    from safeconduct.cli.work import reviewing
    from safeconduct.cli.work.asking import Asked

    asked = Asked(config=config, as_json=as_json, host=host)
    if server is None or (name is None and kind != "instructions"):
        reviewing.list_waiting(asked, server)
    else:
        reviewing.show(asked, server, kind, name or "")


def accept(
    server: _Key,
    name: _Name = "",
    *,
    digest: _Digest = None,
    kind: _Kind = "tool",
    config: Config = DEFAULT_FILE,
    host: HostKey = None,
    as_json: AsJson = False,
) -> None:
    """Accept something new or changed, as `servers review` showed it."""
    from safeconduct.cli.work import reviewing
    from safeconduct.cli.work.asking import Asked

    asked = Asked(config=config, as_json=as_json, host=host)
    reviewing.judge(asked, server, kind, name, digest=digest, accept=True)


def refuse(
    server: _Key,
    name: _Name = "",
    *,
    digest: _Digest = None,
    kind: _Kind = "tool",
    config: Config = DEFAULT_FILE,
    host: HostKey = None,
    as_json: AsJson = False,
) -> None:
    """Write down that something new or changed was looked at and stays out."""
    from safeconduct.cli.work import reviewing
    from safeconduct.cli.work.asking import Asked

    asked = Asked(config=config, as_json=as_json, host=host)
    reviewing.judge(asked, server, kind, name, digest=digest, accept=False)
