"""Rules beside this process: ended when they run long, and never in anybody's way."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator

import pytest

from safeconduct.policy import Bundle, Embedded, EngineFailed
from safeconduct.policy.apart import Apart
from safeconduct.policy.vetting import extension

from .builders import at_once

pytestmark = pytest.mark.slow

LOADED = []


def load() -> bytes:
    LOADED.append(1)
    text = (
        "package safeconduct.host\n\ndeny contains 1 if {\n"
        "some a in input.n\nsome b in input.n\na + b < 0\n}\n\ndeny contains input.v\n"
    )
    glue = extension({"deny": ("safeconduct.host",)}).replace("import rego.v1", "")
    modules = [("host/x.rego", text), ("extensions.rego", glue)]
    return json.dumps({"modules": modules, "data": "{}", "collected": ["deny"]}).encode()


@pytest.fixture
def apart() -> Iterator[Apart]:
    beside = Apart()
    yield beside
    beside.close()


def asked(**given: object) -> bytes:
    return json.dumps(given).encode()


@pytest.mark.requirement("Z-37")
def test_a_question_that_runs_long_is_ended_and_the_next_is_answered(apart: Apart) -> None:
    assert json.loads(apart.collect("a" * 64, load, asked(n=[1], v=2)).text)["deny"] == [2]

    for _ in range(3):
        with pytest.raises(EngineFailed, match="took too long"):
            apart.collect("a" * 64, load, asked(n=list(range(100_000))))
        assert json.loads(apart.collect("a" * 64, load, asked(n=[], v=3)).text)["deny"] == [3]


def test_what_is_no_input_fails_alone(apart: Apart) -> None:
    with pytest.raises(EngineFailed):
        apart.collect("b" * 64, load, b"nonsense")

    assert json.loads(apart.collect("b" * 64, load, asked(v=1)).text)["deny"] == [1]


def test_rules_are_loaded_once_for_many_questions(apart: Apart) -> None:
    before = len(LOADED)
    for number in range(5):
        apart.collect("c" * 64, load, asked(v=number))

    assert len(LOADED) == before + 1


@pytest.mark.requirement("Z-37")
async def test_others_are_served_while_rules_run_beside() -> None:
    text = (
        "package safeconduct.host\n\ndeny contains 1 if {\n"
        "some a in input.arguments.n\nsome b in input.arguments.n\na + b < 0\n}\n"
    )
    glue = ("extensions.rego", extension({"deny": ("safeconduct.host",)}))
    modules = (*Bundle.shipped().modules, ("host/x.rego", text), glue)
    engine = Embedded(Bundle.of(modules=modules, data={}))
    assert engine.runs == "apart"
    at_once(Embedded(Bundle.shipped()).evaluate(b"{}"))
    slow = asyncio.create_task(engine.evaluate(asked(arguments={"n": list(range(50_000))})))
    turns, until = 0, time.monotonic() + 20

    while not slow.done() and time.monotonic() < until:
        await asyncio.sleep(0)
        turns += 1

    assert turns > 100
    with pytest.raises(EngineFailed):
        await slow
