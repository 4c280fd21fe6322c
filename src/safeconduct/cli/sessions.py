"""`safeconduct sessions`: live connections, and ending them."""

# ruff: noqa: PLC0415  imports inside functions: see the package

from __future__ import annotations

from typing import Annotated

import typer

from safeconduct.cli.options import DEFAULT_FILE, AsJson, Config, HostKey

_Person = Annotated[str | None, typer.Option(help="Only this person's.", metavar="EMAIL")]
_Agent = Annotated[
    str | None, typer.Option(help="Only this agent's, by name or id.", metavar="AGENT")
]
_Server = Annotated[str | None, typer.Option(help="Only on this server.", metavar="KEY")]


def commands() -> typer.Typer:
    """Return the commands."""
    group = typer.Typer(no_args_is_help=True, help="Live connections.", rich_markup_mode=None)
    group.command("list")(list_sessions)
    group.command("revoke")(revoke)
    return group


def list_sessions(
    *,
    person: _Person = None,
    agent: _Agent = None,
    server: _Server = None,
    config: Config = DEFAULT_FILE,
    host: HostKey = None,
    as_json: AsJson = False,
) -> None:
    """List the live sessions of a host, newest first."""
    from safeconduct.cli.work import sessions
    from safeconduct.cli.work.asking import Asked

    asked = Asked(config=config, as_json=as_json, host=host)
    sessions.list_sessions(asked, sessions.Choice(person=person, agent=agent, server=server))


def revoke(
    session: Annotated[
        str | None, typer.Argument(help="One session, by id.", metavar="SESSION")
    ] = None,
    *,
    person: _Person = None,
    agent: _Agent = None,
    server: _Server = None,
    config: Config = DEFAULT_FILE,
    host: HostKey = None,
    as_json: AsJson = False,
) -> None:
    """End one session, or everything of a person (on a server) or of an agent, now."""
    from safeconduct.cli.work import sessions
    from safeconduct.cli.work.asking import Asked

    asked = Asked(config=config, as_json=as_json, host=host)
    choice = sessions.Choice(session=session, person=person, agent=agent, server=server)
    sessions.revoke(asked, choice)
