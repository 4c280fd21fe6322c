"""The command. What it runs is imported when it runs, so that `--help` need not wait for it."""

# ruff: noqa: PLC0415  imports inside functions: see above

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

_MISSED, _OUR_FAULT = 1, 2


def bench(
    what: Annotated[
        Literal["calls", "decisions", "revoke", "neighbours"],
        typer.Argument(
            help="`decisions`: what the PDP costs as a host grows; `revoke`: how fast two nodes "
            "take something away; `neighbours`: what one caller's load does to the others."
        ),
    ] = "calls",
    *,
    seconds: Annotated[
        float, typer.Option(min=0.5, max=60, help="Time of each measurement.")
    ] = 5.0,
    connections: Annotated[int, typer.Option(min=1, max=512, help="How many at once.")] = 32,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="How often each is measured.")] = 3,
    era: Annotated[
        Literal["modern", "legacy"], typer.Option(help="Which protocol era to speak.")
    ] = "modern",
    database: Annotated[
        str, typer.Option(help="For `revoke`: URL of an empty PostgreSQL database.")
    ] = "",
    times: Annotated[int, typer.Option(min=2, max=10_000, help="For `revoke`: how often.")] = 100,
    decisions: Annotated[
        int, typer.Option(min=100, max=1_000_000, help="For `decisions`: how many at each size.")
    ] = 10_000,
    tuples: Annotated[
        int, typer.Option(min=10, help="For `decisions`: no size with more relations.")
    ] = 1_000_000,
    beside: Annotated[
        list[str] | None,
        typer.Option(help="For `neighbours`: only this disturbance; may be repeated."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 if a budget is missed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a governed call against a bare one and against nginx."""
    if what == "revoke":
        _revoke(times, database, check=check, as_json=as_json)
        return
    if what == "decisions":
        _decide(decisions, tuples, check=check, as_json=as_json)
        return
    if what == "neighbours":
        _disturb(beside or [], seconds, check=check, as_json=as_json)
        return
    from safeconduct.bench.load import LoadFailed
    from safeconduct.bench.report import as_data, held, show
    from safeconduct.bench.run import Wanted, measure
    from safeconduct.rehearsal import Missing, NotStarted, Unexpected

    wanted = Wanted(era=era, seconds=seconds, connections=connections, rounds=rounds)
    progress = Console(stderr=True, highlight=False)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="safeconduct-bench-") as directory,
            progress.status("starting") as status,
        ):
            found = asyncio.run(measure(wanted, Path(directory), tell=status.update))
    except (NotStarted, Unexpected, Missing, LoadFailed, OSError) as error:
        typer.echo(f"The benchmark could not run: {error}", err=True)
        raise typer.Exit(_OUR_FAULT) from None
    if as_json:
        typer.echo(json.dumps(as_data(found)))
    else:
        show(Console(highlight=False), found)
    if check and not held(found):
        raise typer.Exit(_MISSED)


def _disturb(kinds: list[str], seconds: float, *, check: bool, as_json: bool) -> None:
    from safeconduct.bench.disturbances import DISTURBANCES
    from safeconduct.bench.load import LoadFailed
    from safeconduct.bench.neighbours import as_data, measure, show
    from safeconduct.rehearsal import Missing, NotStarted, Unexpected

    for kind in kinds:
        if kind not in DISTURBANCES:
            known = ", ".join(DISTURBANCES)
            typer.echo(f"There is no disturbance {kind!r}; these there are: {known}.", err=True)
            raise typer.Exit(_MISSED)
    progress = Console(stderr=True, highlight=False)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="safeconduct-bench-") as directory,
            progress.status("starting") as status,
        ):
            found = asyncio.run(measure(kinds, seconds, Path(directory), tell=status.update))
    except (NotStarted, Unexpected, Missing, LoadFailed, OSError) as error:
        typer.echo(f"The benchmark could not run: {error}", err=True)
        raise typer.Exit(_OUR_FAULT) from None
    if as_json:
        typer.echo(json.dumps(as_data(found)))
    else:
        show(Console(highlight=False), found)
    if check and not all(each.held for each in found):
        raise typer.Exit(_MISSED)


def _decide(decisions: int, tuples: int, *, check: bool, as_json: bool) -> None:
    from safeconduct.bench.decisions import as_data, measure, show

    progress = Console(stderr=True, highlight=False)
    with (
        tempfile.TemporaryDirectory(prefix="safeconduct-bench-") as directory,
        progress.status("starting") as status,
    ):
        found = asyncio.run(measure(decisions, Path(directory), most=tuples, tell=status.update))
    if as_json:
        typer.echo(json.dumps(as_data(found)))
    else:
        show(Console(highlight=False), found)
    if check and found.held is not True:
        raise typer.Exit(_MISSED)


def _revoke(times: int, database: str, *, check: bool, as_json: bool) -> None:
    from safeconduct.bench.load import LoadFailed
    from safeconduct.bench.revoking import as_data, show, take_away
    from safeconduct.rehearsal import Missing, NotStarted, Unexpected
    from safeconduct.storage import StorageError

    if not database.startswith("postgresql"):
        typer.echo("Name an empty PostgreSQL database with --database.", err=True)
        raise typer.Exit(_MISSED)
    progress = Console(stderr=True, highlight=False)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="safeconduct-bench-") as directory,
            progress.status("starting") as status,
        ):
            found = asyncio.run(take_away(times, database, Path(directory), tell=status.update))
    except (NotStarted, Unexpected, Missing, LoadFailed, OSError, StorageError) as error:
        typer.echo(f"The benchmark could not run: {error}", err=True)
        raise typer.Exit(_OUR_FAULT) from None
    if as_json:
        typer.echo(json.dumps(as_data(found)))
    else:
        show(Console(highlight=False), found)
    if check and not found.held:
        raise typer.Exit(_MISSED)
