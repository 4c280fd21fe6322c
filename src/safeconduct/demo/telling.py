"""How the demo speaks to a terminal: the company's card, the story, an excerpt of the log."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from safeconduct.core.printing import printable
from safeconduct.demo import seed
from safeconduct.demo.company import Company
from safeconduct.demo.story import Step

_EXCERPT = 40


def card(company: Company) -> dict[str, Any]:
    """Return what somebody needs to know to try it."""
    return {
        "origin": company.origin,
        "account": f"{company.origin}/account",
        "endpoints": {key: company.endpoint(key) for key in seed.SERVERS},
        "people": [
            {
                "name": person.name,
                "email": person.email,
                "password": company.passwords[person.key],
                "ceilings": {server: level.word for server, level in person.ceilings.items()},
            }
            for person in seed.PEOPLE
        ],
        "connect": connect_line(company),
        "log": f"{_command()} audit tail --data-dir {company.trial.data} --host {seed.HOST}",
    }


def _command() -> str:
    """Return how to call the program from where the reader is."""
    if shutil.which("safeconduct"):
        return "safeconduct"
    return str(Path(sys.executable).with_name("safeconduct"))


def connect_line(company: Company) -> str:
    return f"claude mcp add --transport http tickets {company.endpoint('tickets')}"


def show_card(console: Console, company: Company) -> None:
    """Print the card, with lines that can be copied whole."""
    console.print(f"\n[bold]Safeconduct is ready at {company.origin}[/bold]\n")
    people = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("Person", "Email", "Password", "May let agents do at most"):
        people.add_column(column, no_wrap=column != "May let agents do at most")
    for person in seed.PEOPLE:
        ceilings = ", ".join(f"{server} {level.word}" for server, level in person.ceilings.items())
        people.add_row(person.name, person.email, company.passwords[person.key], ceilings)
    console.print(people)
    console.print("\n[dim]MCP endpoints[/dim]")
    for key in seed.SERVERS:
        console.print(f"  {company.endpoint(key)}", soft_wrap=True)
    told = card(company)
    for title, line in (
        ("Connect an agent, then sign in as one of them", told["connect"]),
        ("What you allowed, and the button that ends it", told["account"]),
        ("The log of every decision", told["log"]),
    ):
        console.print(f"\n[dim]{title}[/dim]")
        console.print(f"  {escape(line)}", soft_wrap=True)
    console.print(
        "\nThe passwords were made up for this directory; they are shown because it is a demo."
        "\nCtrl-C ends everything.\n",
        soft_wrap=True,
    )


class Teller:
    """Prints a story's steps as they are told."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._act = ""

    def __call__(self, step: Step) -> None:
        if step.act != self._act:
            self._act = step.act
            self._console.print(f"\n[bold]{escape(printable(step.act))}[/bold]")
        mark = "[green]✓[/green]" if step.held else "[red]✗[/red]"
        self._console.print(f"  {mark} {escape(printable(step.sentence))}", soft_wrap=True)
        self._console.print(f"    [dim]{escape(printable(step.fact))}[/dim]", soft_wrap=True)


def show_excerpt(console: Console, records: Sequence[Mapping[str, Any]]) -> None:
    """Print the last records of the log, one line each: when, what, and what is known of it."""
    console.print("\n[bold]From the log[/bold]")
    for record in records[-_EXCERPT:]:
        said = [record.get(name) for name in ("subject_email", "client_name", "server")]
        said += [record.get(name) for name in ("resource", "decision", "outcome", "reason")]
        known = printable(" · ".join(str(value) for value in said if value))
        console.print(
            f"  [dim]{str(record['ts'])[11:19]}[/dim] {record['kind']:<22} {escape(known)}",
            soft_wrap=True,
        )
