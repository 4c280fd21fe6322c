"""Both generators drive the stub, and what they say is what it counted."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from safeconduct.bench import nginx
from safeconduct.bench.load import LoadFailed, Own, Plan, Wrk, best
from safeconduct.bench.stub import TOOL
from safeconduct.bench.targets import Target
from safeconduct.bench.usage import usage_of
from safeconduct.egress import Transport
from safeconduct.rehearsal import Programs, free_port, get, post_json
from safeconduct.upstreams import Crawler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from safeconduct.rehearsal import Program


@asynccontextmanager
async def stub(directory: Path) -> AsyncIterator[Program]:
    async with Programs(logs=directory) as programs:
        yield await programs.module("stub", "safeconduct.bench.stub")


def count(program: Program) -> int:
    return int(get(program.url.removesuffix("/mcp") + "/count").body)


def plan(url: str, *, seconds: float = 0.3, connections: int = 4) -> Plan:
    return Target(name="t", url=url).plan("modern", connections=connections, seconds=seconds)


async def test_our_own_generator_counts_what_arrived(tmp_path: Path) -> None:
    async with stub(tmp_path) as program:
        result = await Own().run(plan(program.url))

        assert result.failed == 0
        assert result.calls == count(program) > 4
        assert 0 < result.p50 <= result.p99


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
async def test_wrk_counts_what_arrived_but_for_what_it_cut_off(tmp_path: Path) -> None:
    async with stub(tmp_path) as program:
        generator = best(tmp_path)
        assert isinstance(generator, Wrk)

        result = await generator.run(plan(program.url, seconds=1))

        assert result.failed == 0
        assert result.calls <= count(program) <= result.calls + 4
        assert (tmp_path / "load.lua").stat().st_mode & 0o077 == 0


async def test_an_answer_other_than_200_is_a_failed_call(tmp_path: Path) -> None:
    async with stub(tmp_path) as program:
        wrong = Plan(url=program.url, headers={}, body="", connections=1, seconds=0.1)
        result = await Own().run(wrong)

    assert result.failed == result.calls > 0


async def test_nobody_at_the_address_is_no_measurement() -> None:
    with pytest.raises(LoadFailed):
        await Own().run(plan(f"http://127.0.0.1:{free_port()}/mcp", seconds=0.1))


@pytest.mark.parametrize("name", [7, "a-text", 'q"uoted', -3])
async def test_the_stub_answers_under_the_callers_id(tmp_path: Path, name: Any) -> None:
    async with stub(tmp_path) as program:
        call = {"jsonrpc": "2.0", "id": name, "method": "tools/call", "params": {"name": TOOL}}
        answer = post_json(program.url, call)

        assert answer.json()["id"] == name
        assert 250 < len(answer.body) < 420
        assert count(program) == 1


async def test_the_stub_can_be_imported_in_both_eras(tmp_path: Path) -> None:
    transport = Transport(allow_loopback=True)
    async with stub(tmp_path) as program:
        found = await Crawler(transport).crawl(program.url)
        assert count(program) == 0
    await transport.aclose()

    assert sorted(found.eras) == ["legacy", "modern"]
    assert [[tool["name"] for tool in tools] for tools in found.spellings] == [[TOOL], [TOOL]]


async def test_usage_is_of_the_program_and_its_children(tmp_path: Path) -> None:
    async with stub(tmp_path) as program:
        before = usage_of(program.pid)
        await Own().run(plan(program.url))
        after = usage_of(program.pid)

    assert before is not None
    assert after is not None
    assert after.cpu_seconds > before.cpu_seconds
    assert 5 < after.rss_mib < 200
    assert usage_of(program.pid, tmp_path / "elsewhere") is None


@pytest.mark.slow
async def test_nginx_hands_calls_on(tmp_path: Path) -> None:
    async with Programs(logs=tmp_path) as programs:
        upstream = await programs.module("stub", "safeconduct.bench.stub")
        bare = await nginx.start(programs, tmp_path / "nginx", upstream=upstream.url)
        if bare is None:
            pytest.skip("nginx is not installed")

        result = await Own().run(plan(bare.url))

        assert (result.calls, result.failed) == (count(upstream), 0)
