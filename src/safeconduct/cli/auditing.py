"""`safeconduct audit`: read the trail, hand it on, prove that it is whole."""

# ruff: noqa: PLC0415  imports inside functions: see the package

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from safeconduct.cli.options import DEFAULT_FILE, AsJson, Config, HostKey

_DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="The data directory, instead of the file.", metavar="DIR"),
]
_Kind = Annotated[str | None, typer.Option(help="Only events of this kind, such as call.denied.")]
_Subject = Annotated[str | None, typer.Option(help="Only this person's, by address or id.")]
_Agent = Annotated[str | None, typer.Option(help="Only this agent's, by name or client id.")]
_Server = Annotated[str | None, typer.Option(help="Only on this server.", metavar="KEY")]
_Decision = Annotated[str | None, typer.Option(help="Only these: allow, deny, error or pending.")]
_Since = Annotated[
    str | None, typer.Option(help="From here on: 2026-11-21T12:00Z, or 15m, 2h, 7d ago.")
]
_Until = Annotated[str | None, typer.Option(help="Up to here, not included; like --since.")]


def commands() -> typer.Typer:
    """Return the commands."""
    group = typer.Typer(no_args_is_help=True, help="The audit trail.", rich_markup_mode=None)
    group.command("tail")(tail)
    group.command("export")(export)
    group.command("verify")(verify)
    return group


def tail(
    *,
    config: Config = DEFAULT_FILE,
    data_dir: _DataDir = None,
    host: HostKey = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=10_000)] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    kind: _Kind = None,
    subject: _Subject = None,
    agent: _Agent = None,
    server: _Server = None,
    decision: _Decision = None,
    since: _Since = None,
    until: _Until = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest events of a host; as JSON, one whole record on a line."""
    from safeconduct.cli.work import auditing

    place = auditing.Place(config=config, data_dir=data_dir, host=host)
    filters = auditing.filters(
        kind=kind,
        subject=subject,
        agent=agent,
        server=server,
        decision=decision,
        since=since,
        until=until,
    )
    auditing.tail(place, filters, lines=lines, go_on=follow, as_json=as_json)


def export(
    *,
    config: Config = DEFAULT_FILE,
    data_dir: _DataDir = None,
    host: HostKey = None,
    fmt: Annotated[
        Literal["jsonl", "csv"], typer.Option("--format", help="Lines, or a table.")
    ] = "jsonl",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A new file; else standard output.")
    ] = None,
    kind: _Kind = None,
    subject: _Subject = None,
    agent: _Agent = None,
    server: _Server = None,
    decision: _Decision = None,
    since: _Since = None,
    until: _Until = None,
    as_json: AsJson = False,
) -> None:
    """Write a host's records in order of time; --json says how many, beside a file."""
    from safeconduct.cli.work import auditing

    place = auditing.Place(config=config, data_dir=data_dir, host=host)
    filters = auditing.filters(
        kind=kind,
        subject=subject,
        agent=agent,
        server=server,
        decision=decision,
        since=since,
        until=until,
    )
    auditing.export_to(output, place, filters, fmt=fmt, as_json=as_json)


def verify(
    *,
    config: Config = DEFAULT_FILE,
    data_dir: _DataDir = None,
    anchors: Annotated[
        Path | None,
        typer.Option(help="What an earlier `verify --json` printed, kept elsewhere."),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(help="The installation's master.key; else that of the data directory."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove that no record was altered, moved or removed, on any host."""
    from safeconduct.cli.work import auditing

    place = auditing.Place(config=config, data_dir=data_dir, host=None)
    raise typer.Exit(auditing.verify_at(place, anchors=anchors, key=key, as_json=as_json))
