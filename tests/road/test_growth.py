"""How much the record grows by what the refused send, and that it says what it lacks."""

from __future__ import annotations

import pytest

from tests.road.world import World

pytestmark = pytest.mark.requirement("L-04")


def size(world: World) -> int:
    return sum(path.stat().st_size for path in world.audit.glob("*.jsonl"))


@pytest.mark.parametrize(
    "arguments",
    [
        {"text": "x" * 60_000},
        {f"{number:04}" + "n" * 500: 1 for number in range(100)},
        {"text": "\u202e" * 18_000},
    ],
    ids=["long", "many", "escaped"],
)
async def test_a_refused_call_leaves_a_small_record_whatever_it_carried(
    world: World, arguments: dict[str, object]
) -> None:
    tokens = await world.tokens()
    name = "no_such_tool_" + "x" * 2000
    before = size(world)

    answer = await world.call(tokens.access, name, arguments=arguments)

    assert answer.json()["error"]
    assert size(world) - before < 12_000
    record = world.events()[-1]
    assert record["kind"] == "call.denied"
    assert record["omitted"] == {"arguments": "refused"}
    assert "sealed_arguments" not in record
    assert record["body_sha256"]
    assert len(record["resource"]) == 256


async def test_an_allowed_call_keeps_its_arguments_or_says_that_they_were_too_large(
    world: World,
) -> None:
    tokens = await world.tokens()

    await world.call(tokens.access, "get_issue", arguments={"id": "T-7", "note": "x" * 30_000})
    await world.call(tokens.access, "get_issue", arguments={"id": "T-7", "note": "x" * 70_000})

    first, second = world.events("call.intent")[-2:]
    assert "omitted" not in first
    assert len(first["sealed_arguments"]) > 40_000
    assert second["omitted"] == {"arguments": "too_large"}
    assert "sealed_arguments" not in second
