"""The whole command line put together, and what becomes of what goes wrong in it.

A refusal is one sentence on standard error and exit code 1, or 2 where it is ours. A bug keeps
its traceback, for the report, and exit code 2.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from types import TracebackType
from typing import Annotated

import typer

from safeconduct.cli import (
    agents,
    approvals,
    auditing,
    configuring,
    connecting,
    hosts,
    people,
    policies,
    relations,
    servers,
    serving,
    sessions,
)
from safeconduct.cli.failures import Failed, failing
from safeconduct.cli.output import complain

_OURS = 2


def program() -> typer.Typer:
    """Put the commands together."""
    whole = typer.Typer(
        name="safeconduct",
        help="A gateway that says which human, through which agent, may do what.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    whole.callback()(_options)
    serving.add_to(whole)
    configuring.add_to(whole)
    whole.add_typer(policies.commands(), name="policy")
    whole.add_typer(auditing.commands(), name="audit")
    connecting.add_to(whole)
    whole.add_typer(hosts.commands(), name="hosts")
    whole.add_typer(servers.commands(), name="servers")
    whole.add_typer(people.commands(), name="people")
    whole.add_typer(relations.commands(), name="relations")
    whole.add_typer(agents.commands(), name="agents")
    whole.add_typer(sessions.commands(), name="sessions")
    whole.add_typer(approvals.commands(), name="approvals")
    return whole


def _version(asked: bool) -> None:  # noqa: FBT001  typer hands it over by position
    if asked:
        typer.echo(f"safeconduct {version('safeconduct')}")
        raise typer.Exit


def _options(
    *,
    _shown: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Say which one this is."),
    ] = False,
) -> None:
    """Take what stands before the command."""


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code."""
    sys.excepthook = _bug
    command = typer.main.get_command(program())
    try:
        with failing():
            result = command.main(arguments, prog_name="safeconduct", standalone_mode=False)
            sys.stdout.flush()
    except typer.TyperException as error:
        return _usage(error)
    except typer.Abort:
        complain("Stopped.")
        return 1
    except Failed as error:
        complain(str(error))
        return error.exit_code
    except BrokenPipeError:  # whoever read us has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return result if isinstance(result, int) else 0


def _usage(error: typer.TyperException) -> int:
    said = error.format_message().strip()  # unlike its text, this names the parameter
    if said:  # empty when help was shown instead
        complain(f"{said.rstrip('.')}. See --help of this command.")
    return 1


def _bug(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    sys.__excepthook__(kind, error, traceback)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_OURS)  # the interpreter would say 1, which means that the user erred
