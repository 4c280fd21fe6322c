"""`safeconduct servers`: the MCP servers of a host and their tools."""

# ruff: noqa: PLC0415  imports inside functions: see the package

from __future__ import annotations

from typing import Annotated

import typer

from safeconduct.cli.options import DEFAULT_FILE, AsJson, Config, HostKey

_Key = Annotated[str, typer.Argument(help="Key of the server.", metavar="SERVER")]
_Tool = Annotated[str, typer.Argument(help="Name of the tool.", metavar="TOOL")]


def commands() -> typer.Typer:
    """Return the commands."""
    group = typer.Typer(no_args_is_help=True, help="MCP servers and tools.", rich_markup_mode=None)
    group.command("list")(list_servers)
    group.command("show")(show)
    group.command("check")(check)
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


def accept(
    server: _Key,
    tool: _Tool,
    *,
    config: Config = DEFAULT_FILE,
    host: HostKey = None,
    as_json: AsJson = False,
) -> None:
    """Accept a new or changed tool as it was last seen; people may use it from then on."""
    from safeconduct.cli.work import servers
    from safeconduct.cli.work.asking import Asked

    servers.accept_tool(Asked(config=config, as_json=as_json, host=host), server, tool)


def refuse(
    server: _Key,
    tool: _Tool,
    *,
    config: Config = DEFAULT_FILE,
    host: HostKey = None,
    as_json: AsJson = False,
) -> None:
    """Write down that a new or changed tool was looked at and stays out."""
    from safeconduct.cli.work import servers
    from safeconduct.cli.work.asking import Asked

    servers.refuse_tool(Asked(config=config, as_json=as_json, host=host), server, tool)
