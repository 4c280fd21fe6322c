"""`safeconduct approvals`: calls that wait for an operator, and what became of them."""

# ruff: noqa: PLC0415  imports inside functions: see the package

from __future__ import annotations

from typing import Annotated

import typer

from safeconduct.cli.options import DEFAULT_FILE, AsJson, Config, HostKey

_Id = Annotated[str, typer.Argument(help="The request, by id.", metavar="ID")]


def commands() -> typer.Typer:
    """Return the commands."""
    group = typer.Typer(
        no_args_is_help=True, help="Calls that wait for a yes.", rich_markup_mode=None
    )
    group.command("list")(list_approvals)
    group.command("show")(show)
    group.command("approve")(approve)
    group.command("refuse")(refuse)
    return group


def list_approvals(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that are decided or over, newest first.")
    ] = False,
    config: Config = DEFAULT_FILE,
    host: HostKey = None,
    as_json: AsJson = False,
) -> None:
    """List the requests of a host that wait, the most urgent first.

    What the calls say is shown to who may decide about them, and that is on record.
    """
    from safeconduct.cli.work import approvals
    from safeconduct.cli.work.asking import Asked

    asked = Asked(config=config, as_json=as_json, host=host)
    approvals.list_approvals(asked, everything=everything)


def show(
    approval: _Id,
    *,
    config: Config = DEFAULT_FILE,
    host: HostKey = None,
    as_json: AsJson = False,
) -> None:
    """Show a request with everything the call says; that is on record."""
    from safeconduct.cli.work import approvals
    from safeconduct.cli.work.asking import Asked

    approvals.show(Asked(config=config, as_json=as_json, host=host), approval)


def approve(
    approval: _Id,
    *,
    reason: Annotated[str | None, typer.Option(help="Why, for the record.")] = None,
    config: Config = DEFAULT_FILE,
    host: HostKey = None,
    as_json: AsJson = False,
) -> None:
    """Let exactly this call through, once."""
    from safeconduct.cli.work import approvals
    from safeconduct.cli.work.asking import Asked

    asked = Asked(config=config, as_json=as_json, host=host)
    approvals.decide(asked, approval, approve=True, reason=reason)


def refuse(
    approval: _Id,
    *,
    reason: Annotated[str, typer.Option(help="Why; the agent is told.")],
    config: Config = DEFAULT_FILE,
    host: HostKey = None,
    as_json: AsJson = False,
) -> None:
    """Refuse the call; the agent is told why."""
    from safeconduct.cli.work import approvals
    from safeconduct.cli.work.asking import Asked

    asked = Asked(config=config, as_json=as_json, host=host)
    approvals.decide(asked, approval, approve=False, reason=reason)
