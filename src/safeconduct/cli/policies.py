"""`safeconduct policy`: a host's own rules, before they decide anything (and see `bundles`)."""

# ruff: noqa: PLC0415  imports inside functions: see the package

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safeconduct.cli import bundles
from safeconduct.cli.options import AsJson

_Directory = Annotated[
    Path, typer.Argument(metavar="DIR", help="Directory with Rego files and their data.")
]


def commands() -> typer.Typer:
    """Return the commands."""
    group = typer.Typer(no_args_is_help=True, help="A host's own rules.", rich_markup_mode=None)
    group.command("check")(check)
    group.command("test")(run_tests)
    group.command("eval")(evaluate)
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
        Path, typer.Argument(metavar="FACTS", help="YAML or JSON: the request and its facts.")
    ],
    *,
    directory: Annotated[
        Path | None,
        typer.Option("--directory", "-d", help="A host's own rules beside the built-in ones."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Decide one request on given facts, and say why. Nobody's access depends on it."""
    from safeconduct.cli.work import policies

    policies.evaluate(facts, directory=directory, as_json=as_json)
