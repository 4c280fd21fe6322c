"""The demo as it is typed: it starts, proves itself, and leaves nothing running."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from safeconduct.core.model import Level
from safeconduct.demo.company import Company
from safeconduct.demo.script import ACTS, play
from safeconduct.demo.seed import PEOPLE, SERVERS
from safeconduct.demo.story import Step, Story
from safeconduct.rehearsal import Programs, Trial, free_port, get
from tests.rehearsal.processes import children_of, gone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

COMMAND = "import typer; from safeconduct.demo.command import demo; typer.run(demo)"


@asynccontextmanager
async def demo(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def running(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """Wait until it is ready and return the card it prints."""
    assert process.stdout is not None
    async with asyncio.timeout(90):
        line = await process.stdout.readline()
    card: dict[str, Any] = json.loads(line)
    return card


@pytest.mark.requirement("E-02")
def test_the_three_people_may_let_agents_do_different_things() -> None:
    ceilings = {person.key: person.ceilings for person in PEOPLE}

    assert len({person.group for person in PEOPLE}) == len(PEOPLE) == 3
    assert max(ceilings["alice"].values()) is Level.HIGH
    assert {*ceilings["bob"].values(), *ceilings["carol"].values()} == {Level.LOW}
    assert ceilings["alice"].keys() == ceilings["bob"].keys() == SERVERS.keys()
    assert ceilings["carol"].keys() < SERVERS.keys()


@pytest.mark.slow
@pytest.mark.requirement("E-01")
async def test_the_story_holds_from_sign_in_to_the_log() -> None:
    async with demo("--script", "--json") as process:
        async with asyncio.timeout(100):
            said, errors = await process.communicate()

    assert process.returncode == 0, said.decode() + errors.decode()
    told = json.loads(said)
    assert [step for step in told["steps"] if not step["held"]] == []
    assert {step["act"] for step in told["steps"]} == {*(act.title for act in ACTS), "The log"}
    assert {record["kind"] for record in told["log"]} >= {"sign_in", "call.denied"}


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_it_runs_until_it_is_ended_and_leaves_nothing_behind(
    tmp_path: Path, by: signal.Signals
) -> None:
    if by is signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux ends the children then")
    port = free_port()
    async with demo("--port", str(port), "--data-dir", str(tmp_path / "d"), "--json") as process:
        card = await running(process)
        children = children_of(process.pid)
        answer = await asyncio.to_thread(get, card["account"])

        process.send_signal(by)
        async with asyncio.timeout(60):
            await process.communicate()

        assert answer.status == 303
        assert card["endpoints"]["tickets"] == f"http://localhost:{port}/mcp/tickets"
        assert card["endpoints"]["tickets"] in card["connect"]
        assert [person["name"] for person in card["people"]] == ["Alice", "Bob", "Carol"]
        assert card["people"][2]["ceilings"] == {"tickets": "low"}
        assert len(children) == 4
        assert await gone(children)
        assert process.returncode == (0 if by is not signal.SIGKILL else -signal.SIGKILL)


@pytest.mark.slow
async def test_a_second_start_finds_the_same_people(tmp_path: Path) -> None:
    cards = []
    for _ in range(2):
        async with demo(
            *("--port", str(free_port()), "--data-dir", str(tmp_path), "--json")
        ) as process:
            cards.append(await running(process))
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(60):
                await process.communicate()

    assert cards[0]["people"] == cards[1]["people"]


async def test_a_port_that_is_taken_is_said_with_a_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with demo("--port", str(port), "--data-dir", str(tmp_path / "d")) as process:
            async with asyncio.timeout(60):
                _, errors = await process.communicate()

    assert process.returncode == 1
    assert f"Port {port} is taken" in errors.decode()
    assert "--port" in errors.decode()
    assert not (tmp_path / "d").exists()


@pytest.mark.slow
async def test_the_story_notices_when_nobody_stands_guard(tmp_path: Path) -> None:
    """Its claims are held against facts: without a gateway in the way they fail."""
    told: list[Step] = []
    story = Story(told.append)
    trial = Trial(tmp_path, port=free_port())
    async with Programs(logs=trial.logs) as programs:
        urls = {
            key: (
                await programs.module(
                    key, f"safeconduct.demo.{key}", "--data", str(tmp_path / "upstreams")
                )
            ).url
            for key in SERVERS
        }
        trial.audit.mkdir(parents=True)
        await play(_Unguarded(urls, trial, programs, tmp_path), story)

    assert not story.held
    failed = [step.sentence for step in told if not step.held and step.act == ACTS[0].title]
    assert len(failed) >= 4
    assert any("without a token" in sentence for sentence in failed)
    assert any("delete_issue" in sentence for sentence in failed)


class _Unguarded(Company):
    """The company with its servers open to everybody."""

    def __init__(
        self, urls: dict[Any, str], trial: Trial, programs: Programs, directory: Path
    ) -> None:
        super().__init__(trial, programs, directory)
        self._urls = urls

    def endpoint(self, server: str) -> str:
        return self._urls[server]


def test_a_story_nobody_told_does_not_hold() -> None:
    assert not Story(lambda _: None).held


@pytest.mark.parametrize("second", [True, False])
def test_a_story_holds_if_every_step_did(second: bool) -> None:
    story = Story(lambda _: None)
    story.step("one", "fact", held=True)
    story.step("two", "fact", held=second)

    assert story.held is second
