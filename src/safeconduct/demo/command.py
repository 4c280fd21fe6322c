"""`safeconduct demo`: a company to try the gateway with, or a story that proves it works.

The rest of the package is imported when the command runs: it needs the MCP SDK, which an
installation may lack, and `safeconduct --help` should not wait for it.
"""

# ruff: noqa: PLC0415  imports inside functions: see above

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NoReturn

import typer

_USERS_FAULT, _OUR_FAULT = 1, 2


def demo(
    *,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where the gateway listens.")] = 8420,
    data_dir: Annotated[Path, typer.Option(help="Keeps the demo's people, data and log.")] = Path(
        ".safeconduct-demo"
    ),
    script: Annotated[
        bool, typer.Option("--script", help="Play a story that checks itself, and end.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Start a gateway with three MCP servers and three people, until Ctrl-C."""
    if find_spec("mcp") is None:
        _refuse("The demo's servers need the MCP SDK: pip install 'safeconduct[demo]'")
    from safeconduct.rehearsal import NotStarted, free_port, is_free

    if not script and not is_free(port):
        _refuse(f"Port {port} is taken. Choose another: safeconduct demo --port {free_port()}")
    try:
        running = _script(as_json=as_json) if script else _run(data_dir, port, as_json=as_json)
        code = asyncio.run(running)
    except NotStarted as error:
        typer.echo(str(error), err=True)
        code = _OUR_FAULT
    except KeyboardInterrupt:
        code = _USERS_FAULT
    raise typer.Exit(code)


async def _run(directory: Path, port: int, *, as_json: bool) -> int:
    from rich.console import Console

    from safeconduct.demo.company import at_work
    from safeconduct.demo.telling import card, show_card

    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    console = Console(highlight=False, quiet=as_json)
    with contextlib.suppress(asyncio.CancelledError):
        console.print("Starting three MCP servers and the gateway ...")
        async with at_work(directory, port=port) as company:
            show_card(console, company)
            if as_json:
                typer.echo(json.dumps(card(company)))
            ended = await company.programs.first_to_end()
            typer.echo(f"{ended.name} ended by itself.\n{ended.last_words()}", err=True)
            return _OUR_FAULT
    return 0


async def _script(*, as_json: bool) -> int:
    from rich.console import Console

    from safeconduct.demo.company import at_work
    from safeconduct.demo.script import play
    from safeconduct.demo.story import Story
    from safeconduct.demo.telling import Teller, show_excerpt
    from safeconduct.rehearsal import free_port

    # The SDK logs what it then raises; the story tells it once.
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    logging.getLogger("client").setLevel(logging.CRITICAL)
    console = Console(highlight=False, quiet=as_json)
    story = Story(Teller(console))
    with tempfile.TemporaryDirectory(prefix="safeconduct-demo-") as directory:
        async with at_work(Path(directory), port=free_port()) as company:
            records = await play(company, story)
    show_excerpt(console, records)
    if as_json:
        steps = [
            {"act": one.act, "sentence": one.sentence, "held": one.held, "fact": one.fact}
            for one in story.steps
        ]
        typer.echo(json.dumps({"held": story.held, "steps": steps, "log": records}))
    console.print(f"\n{'Every step behaved.' if story.held else 'NOT every step behaved.'}")
    return 0 if story.held else _OUR_FAULT


def _refuse(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(_USERS_FAULT)
