"""`safeconduct agents`: the programs that act for people."""

# ruff: noqa: PLC0415  imports inside functions: see the package

from __future__ import annotations

from typing import Annotated

import typer

from safeconduct.cli.options import DEFAULT_FILE, AsJson, Config, HostKey

_Id = Annotated[str, typer.Argument(help="The agent's OAuth client id.", metavar="CLIENT")]


def commands() -> typer.Typer:
    """Return the commands."""
    group = typer.Typer(no_args_is_help=True, help="The agents of a host.", rich_markup_mode=None)
    group.command("list")(list_agents)
    group.command("block")(block)
    group.command("unblock")(unblock)
    return group


def list_agents(
    *, config: Config = DEFAULT_FILE, host: HostKey = None, as_json: AsJson = False
) -> None:
    """List the agents a host knows, with their live sessions."""
    from safeconduct.cli.work import agents
    from safeconduct.cli.work.asking import Asked

    agents.list_agents(Asked(config=config, as_json=as_json, host=host))


def block(
    client: _Id, *, config: Config = DEFAULT_FILE, host: HostKey = None, as_json: AsJson = False
) -> None:
    """Keep an agent out, whoever uses it, and end everything it was allowed, now."""
    from safeconduct.cli.work import agents
    from safeconduct.cli.work.asking import Asked

    agents.block(Asked(config=config, as_json=as_json, host=host), client)


def unblock(
    client: _Id, *, config: Config = DEFAULT_FILE, host: HostKey = None, as_json: AsJson = False
) -> None:
    """Let an agent ask for consent again; what was ended stays ended."""
    from safeconduct.cli.work import agents
    from safeconduct.cli.work.asking import Asked

    agents.unblock(Asked(config=config, as_json=as_json, host=host), client)
