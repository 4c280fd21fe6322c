"""`safeconduct policy`: a host's own rules, before they decide anything (and see `bundles`)."""

# ruff: noqa: PLC0415  imports inside functions: see the package

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safeconduct.cli import bundles
from safeconduct.cli.options import DEFAULT_FILE, AsJson, Config, HostKey

_Directory = Annotated[
    Path, typer.Argument(metavar="DIR", help="Directory with Rego files and their data.")
]


def commands() -> typer.Typer:
    """Return the commands."""
    group = typer.Typer(no_args_is_help=True, help="A host's own rules.", rich_markup_mode=None)
    group.command("check")(check)
    group.command("test")(run_tests)
    group.command("eval")(evaluate)
    group.command("diff")(diff)
    group.command("schema")(schema)
    bundles.add_to(group)
    return group


def check(directory: _Directory, *, as_json: AsJson = False) -> None:
    """Tell whether the rules may be used: what they are, and that they compile."""
    from safeconduct.cli.work import policies

    policies.check(directory, as_json=as_json)


def run_tests(directory: _Directory, *, as_json: AsJson = False) -> None:
    """Run the tests beside the rules (*_test.rego)."""
    from safeconduct.cli.work import policies

    raise typer.Exit(policies.run_tests(directory, as_json=as_json))


def evaluate(
    facts: Annotated[
        Path | None,
        typer.Argument(metavar="FACTS", help="YAML or JSON: the request and its facts."),
    ] = None,
    *,
    decision: Annotated[
        str | None,
        typer.Option("--decision", help="A recorded decision instead, by its id.", metavar="ID"),
    ] = None,
    config: Config = DEFAULT_FILE,
    host: HostKey = None,
    directory: Annotated[
        Path | None,
        typer.Option("--directory", "-d", help="A host's own rules beside the built-in ones."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Decide one request on given facts, or once more, and say why. Nobody's access changes."""
    from safeconduct.cli.work import policies, replaying
    from safeconduct.cli.work.asking import Asked

    if (facts is None) == (decision is None):
        raise typer.BadParameter("name a file of facts, or a decision with --decision")
    if facts is not None:
        policies.evaluate(facts, directory=directory, as_json=as_json)
        return
    asked = Asked(config=config, as_json=as_json, host=host)
    replaying.explain(asked, str(decision), directory=directory)


def diff(
    directory: _Directory,
    *,
    config: Config = DEFAULT_FILE,
    host: HostKey = None,
    since: Annotated[
        str, typer.Option(help="From here on: 2026-11-21T12:00Z, or 15m, 2h, 7d ago.")
    ] = "7d",
    until: Annotated[str | None, typer.Option(help="Up to here, not included.")] = None,
    as_json: AsJson = False,
) -> None:
    """Replay the log against other rules, and list whose answers would flip for what."""
    from safeconduct.cli.work import replaying
    from safeconduct.cli.work.asking import Asked

    asked = Asked(config=config, as_json=as_json, host=host)
    replaying.diff(asked, directory, since=since, until=until)


def schema(*, as_json: AsJson = True) -> None:
    """Print the JSON schema of what rules see as `input`."""
    from safeconduct.cli.work import policies

    policies.schema(as_json=as_json)
