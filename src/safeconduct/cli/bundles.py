"""`safeconduct policy` for rules in force: which, since when, by whom; going back; signing."""

# ruff: noqa: PLC0415  imports inside functions: see the package

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safeconduct.cli.options import DEFAULT_FILE, AsJson, Config, HostKey

_Digest = Annotated[
    str | None,
    typer.Argument(metavar="DIGEST", help="A bundle of this host; the first 8 characters will do."),
]


def add_to(group: typer.Typer) -> None:
    """Add the commands."""
    group.command("status")(status)
    group.command("history")(history)
    group.command("show")(show)
    group.command("rollback")(roll_back)
    group.command("sign")(sign)
    group.command("keygen")(keygen)


def status(*, config: Config = DEFAULT_FILE, host: HostKey = None, as_json: AsJson = False) -> None:
    """Tell what decides, since when, and how the policy repository stands."""
    from safeconduct.cli.work import bundles
    from safeconduct.cli.work.asking import Asked

    bundles.status(Asked(config=config, as_json=as_json, host=host))


def history(
    *, config: Config = DEFAULT_FILE, host: HostKey = None, as_json: AsJson = False
) -> None:
    """List what decided when, who wanted it and why; the newest first."""
    from safeconduct.cli.work import bundles
    from safeconduct.cli.work.asking import Asked

    bundles.history(Asked(config=config, as_json=as_json, host=host))


def show(
    digest: _Digest = None,
    *,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="What was in force then (ISO 8601)."),
    ] = None,
    config: Config = DEFAULT_FILE,
    host: HostKey = None,
    as_json: AsJson = False,
) -> None:
    """Show the rules in force, now or at a time, or those of one bundle."""
    from safeconduct.cli.work import bundles
    from safeconduct.cli.work.asking import Asked

    bundles.show(Asked(config=config, as_json=as_json, host=host), digest, at)


def roll_back(
    digest: _Digest = None,
    *,
    because: Annotated[
        str, typer.Option("--because", metavar="TEXT", help="Why, for the record.")
    ] = "",
    config: Config = DEFAULT_FILE,
    host: HostKey = None,
    as_json: AsJson = False,
) -> None:
    """Go back to the bundle before, or to a named one; from the next call it decides."""
    from safeconduct.cli.work import bundles
    from safeconduct.cli.work.asking import Asked

    asked = Asked(config=config, as_json=as_json, host=host)
    bundles.roll_back(asked, digest, because=because)


def sign(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Directory with Rego files and their data.")
    ],
    *,
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="Private key, PEM or JWK.")],
    version: Annotated[
        int | None,
        typer.Option("--version", metavar="N", help="Its version; one more than it had."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sign every file of a directory, for hosts that take signed rules only."""
    from safeconduct.cli.work import signing

    signing.sign(directory, key, version=version, as_json=as_json)


def keygen(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The private key; FILE.pub is the public half.")
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Make a pair of keys for signing rules."""
    from safeconduct.cli.work import signing

    signing.make_keys(file, as_json=as_json)
