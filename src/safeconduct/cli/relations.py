"""`safeconduct relations`: who is what to whom."""

# ruff: noqa: PLC0415  imports inside functions: see the package

from __future__ import annotations

from typing import Annotated

import typer

from safeconduct.cli.options import DEFAULT_FILE, AsJson, Config, HostKey

_Tuples = Annotated[
    list[str],
    typer.Argument(help="Such as ticket:T-7#assignee@user:alice@acme.test.", metavar="TUPLE..."),
]
_Asked = Annotated[
    str, typer.Argument(help="Such as ticket:T-7#edit@user:alice@acme.test.", metavar="QUESTION")
]
_Object = Annotated[
    str | None, typer.Option("--object", help="An object, or a type.", metavar="TYPE[:ID]")
]
_Subject = Annotated[
    str | None, typer.Option("--subject", help="A subject, or a type.", metavar="TYPE[:ID]")
]
_Relation = Annotated[str | None, typer.Option("--relation", help="A relation.", metavar="NAME")]
_Source = Annotated[
    str | None,
    typer.Option("--source", help="api, directory, configuration or access.", metavar="SOURCE"),
]


def commands() -> typer.Typer:
    """Return the commands."""
    group = typer.Typer(
        no_args_is_help=True, help="The relations of a host.", rich_markup_mode=None
    )
    group.command("list")(list_relations)
    group.command("write")(write)
    group.command("remove")(remove)
    group.command("check")(check)
    return group


def list_relations(
    *,
    object_: _Object = None,
    relation: _Relation = None,
    subject: _Subject = None,
    source: _Source = None,
    config: Config = DEFAULT_FILE,
    host: HostKey = None,
    as_json: AsJson = False,
) -> None:
    """List tuples, with where they come from."""
    from safeconduct.cli.work import relations
    from safeconduct.cli.work.asking import Asked

    named = {"object": object_, "relation": relation, "subject": subject, "source": source}
    relations.list_relations(Asked(config=config, as_json=as_json, host=host), named)


def write(
    tuples: _Tuples, *, config: Config = DEFAULT_FILE, host: HostKey = None, as_json: AsJson = False
) -> None:
    """Write tuples, all or none; the next call knows."""
    from safeconduct.cli.work import relations
    from safeconduct.cli.work.asking import Asked

    relations.write(Asked(config=config, as_json=as_json, host=host), tuples)


def remove(
    tuples: _Tuples, *, config: Config = DEFAULT_FILE, host: HostKey = None, as_json: AsJson = False
) -> None:
    """Remove tuples that were written by request, all or none."""
    from safeconduct.cli.work import relations
    from safeconduct.cli.work.asking import Asked

    relations.remove(Asked(config=config, as_json=as_json, host=host), tuples)


def check(
    question: _Asked,
    *,
    config: Config = DEFAULT_FILE,
    host: HostKey = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a subject has a permission, and what it follows from."""
    from safeconduct.cli.work import relations
    from safeconduct.cli.work.asking import Asked

    relations.check(Asked(config=config, as_json=as_json, host=host), question)
