"""`safeconduct serve`, `demo` and `bench`: what runs until it is told to stop."""

# ruff: noqa: PLC0415  imports inside functions: see the package

from __future__ import annotations

import typer

from safeconduct.bench import bench
from safeconduct.cli.options import DEFAULT_FILE, AsJson, Config
from safeconduct.demo import demo


def add_to(whole: typer.Typer) -> None:
    """Add the commands."""
    whole.command("serve")(serve)
    whole.command("demo")(demo)
    whole.command("bench")(bench)


def serve(*, config: Config = DEFAULT_FILE, as_json: AsJson = False) -> None:
    """Bring the installation to what the file says, and serve it."""
    from safeconduct.cli.work import serving

    raise typer.Exit(serving.serve(config, as_json=as_json))
