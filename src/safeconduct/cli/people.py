"""`safeconduct people`: who may sign in."""

# ruff: noqa: PLC0415  imports inside functions: see the package

from __future__ import annotations

from typing import Annotated

import typer

from safeconduct.cli.options import DEFAULT_FILE, AsJson, Config, HostKey

_Email = Annotated[str, typer.Argument(help="The person's address.", metavar="EMAIL")]


def commands() -> typer.Typer:
    """Return the commands."""
    group = typer.Typer(no_args_is_help=True, help="The people of a host.", rich_markup_mode=None)
    group.command("list")(list_people)
    group.command("suspend")(suspend)
    group.command("restore")(restore)
    return group


def list_people(
    *, config: Config = DEFAULT_FILE, host: HostKey = None, as_json: AsJson = False
) -> None:
    """List the people of a host, with their ceilings and live sessions."""
    from safeconduct.cli.work import people
    from safeconduct.cli.work.asking import Asked

    people.list_people(Asked(config=config, as_json=as_json, host=host))


def suspend(
    email: _Email, *, config: Config = DEFAULT_FILE, host: HostKey = None, as_json: AsJson = False
) -> None:
    """Keep a person out and end everything they allowed, now."""
    from safeconduct.cli.work import people
    from safeconduct.cli.work.asking import Asked

    people.suspend(Asked(config=config, as_json=as_json, host=host), email)


def restore(
    email: _Email, *, config: Config = DEFAULT_FILE, host: HostKey = None, as_json: AsJson = False
) -> None:
    """Let a person sign in again; what was ended stays ended."""
    from safeconduct.cli.work import people
    from safeconduct.cli.work.asking import Asked

    people.restore(Asked(config=config, as_json=as_json, host=host), email)
