"""`safeconduct hosts`: the tenants of this installation."""

# ruff: noqa: PLC0415  imports inside functions: see the package

from __future__ import annotations

from typing import Annotated

import typer

from safeconduct.cli.options import DEFAULT_FILE, AsJson, Config


def commands() -> typer.Typer:
    """Return the commands."""
    group = typer.Typer(no_args_is_help=True, help="The tenants.", rich_markup_mode=None)
    group.command("list")(list_hosts)
    group.command("show")(show)
    return group


def list_hosts(*, config: Config = DEFAULT_FILE, as_json: AsJson = False) -> None:
    """List the hosts."""
    from safeconduct.cli.work import hosts
    from safeconduct.cli.work.asking import Asked

    hosts.list_hosts(Asked(config=config, as_json=as_json))


def show(
    key: Annotated[str | None, typer.Argument(help="Needed when there are several.")] = None,
    *,
    config: Config = DEFAULT_FILE,
    as_json: AsJson = False,
) -> None:
    """Show how a host is configured."""
    from safeconduct.cli.work import hosts
    from safeconduct.cli.work.asking import Asked

    hosts.show(Asked(config=config, as_json=as_json, host=key))
