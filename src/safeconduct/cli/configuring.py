"""`safeconduct plan`, `apply` and `doctor`: the file, and whether the world agrees with it."""

# ruff: noqa: PLC0415  imports inside functions: see the package

from __future__ import annotations

from typing import Annotated

import typer

from safeconduct.cli.options import DEFAULT_FILE, AsJson, Config

_Prune = Annotated[bool, typer.Option("--prune", help="Remove hosts that the file does not name.")]


def add_to(whole: typer.Typer) -> None:
    """Add the commands."""
    whole.command("plan")(plan)
    whole.command("apply")(apply)
    whole.command("doctor")(doctor)


def plan(*, config: Config = DEFAULT_FILE, prune: _Prune = False, as_json: AsJson = False) -> None:
    """Show what applying the file would change; nothing is changed."""
    from safeconduct.cli.work import configuring

    configuring.plan(config, prune=prune, as_json=as_json)


def apply(
    *,
    config: Config = DEFAULT_FILE,
    prune: _Prune = False,
    crawl: Annotated[
        bool, typer.Option("--crawl/--no-crawl", help="Read the tools of new and changed servers.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Make the installation what the file says; a running gateway follows at once."""
    from safeconduct.cli.work import configuring

    configuring.apply(config, prune=prune, crawl=crawl, as_json=as_json)


def doctor(*, config: Config = DEFAULT_FILE, as_json: AsJson = False) -> None:
    """Check the file, the disk, the database, the servers and the surroundings."""
    from safeconduct.cli.work import examining

    raise typer.Exit(examining.examine(config, as_json=as_json))
