"""Questions between processes: over sockets on one machine, and over PostgreSQL."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from safeconduct.storage import Inquiries, between_workers

PATIENCE_SECONDS = 10.0


async def test_a_worker_asks_the_others_and_the_first_yes_counts(tmp_path: Path) -> None:
    workers = [Inquiries(patience_seconds=PATIENCE_SECONDS) for _ in range(3)]
    heard: list[str] = []

    def knows(question: str) -> bool:
        heard.append(question)
        return question == "this one"

    workers[2].answer = knows
    with ExitStack() as stack:
        for each in workers:
            stack.enter_context(between_workers(tmp_path / "workers", each))

        assert await workers[0].know("this one")
        assert not await workers[0].know("another"), "when all have said no, nobody waits longer"
        assert not await workers[2].know("this one"), "one's own answer is not asked for"
        assert heard == ["this one", "another"]
    assert not list((tmp_path / "workers").iterdir())
    assert not await workers[0].know("this one")


async def test_a_worker_alone_has_nobody_to_ask(tmp_path: Path) -> None:
    alone = Inquiries(patience_seconds=PATIENCE_SECONDS)
    assert not await alone.know("this")
    with between_workers(tmp_path / "workers", alone):
        assert not await alone.know("this")


async def test_a_worker_that_died_or_says_nothing_is_waited_for_no_longer_than_is_bearable(
    tmp_path: Path,
) -> None:
    asker = Inquiries(patience_seconds=0.2)
    folder = tmp_path / "w"
    with between_workers(folder, asker):
        dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        dead.bind(str(folder / "1"))
        dead.close()
        assert not await asker.know("this")
        assert not (folder / "1").exists()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as silent:
            silent.bind(str(folder / "2"))
            assert not await asker.know("this")


async def test_foreign_words_do_no_harm(tmp_path: Path) -> None:
    asker = Inquiries(patience_seconds=PATIENCE_SECONDS)
    folder = tmp_path / "w"
    with (
        between_workers(folder, asker),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other,
    ):
        (ours,) = folder.iterdir()
        other.bind(str(folder / "2"))
        other.setblocking(False)
        for words in (b"", b"2", b"2 yes", b"2 yes nobody", b"../x ask 1 q", b"\xff" * 5000):
            other.sendto(words, str(ours))
        other.sendto(b"2 ask name question", str(ours))
        async with asyncio.timeout(PATIENCE_SECONDS):
            reply = await asyncio.get_running_loop().sock_recv(other, 4096)
        assert reply.endswith(b" no name")


async def test_questions_under_way_are_bounded() -> None:
    asker = Inquiries(patience_seconds=0.2)
    sent: list[str] = []

    async def send(text: str) -> None:
        sent.append(text)

    asker.connect(send)
    assert not any(await asyncio.gather(*[asker.know("this") for _ in range(100)]))
    assert len(sent) == 64
    assert not asker._waiting


@pytest.mark.parametrize("words", ["yes x", "no x", "", "sing", "ask"])
def test_an_answer_to_nothing_is_dropped(words: str) -> None:
    assert Inquiries().hear(words) is None or words == "ask"
