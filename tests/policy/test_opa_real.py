"""Decisions over the road, by OPA itself: those of the engine in this process."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safeconduct.core.secrets import Secret
from safeconduct.policy import (
    Bundle,
    BundleError,
    Embedded,
    Engine,
    EngineFailed,
    HostPolicy,
    OpaEngine,
    OpaServers,
    Pdp,
    document,
    relocated,
)
from tests.fixtures.opa import ROOT, opa_library

from .builders import a_request, at_once, some_facts
from .strategies import inputs

pytestmark = pytest.mark.slow

TOKEN = "tok-very-secret"
HEAD = "import rego.v1\n\n"
FILES = {
    "region.rego": "package safeconduct.host\n\n"
    + HEAD
    + "import data.safeconduct.levels as l\n"
    + "import data.safeconduct.host.util\n"
    + 'deny contains {"reason": "region"} if not util.within(input.subject.attributes.region)\n'
    + 'deny contains {"reason": "data.regions é"} if l.rank[input.tool.level] > most\n'
    + 'data_like := "data.regions"\n',
    "most.rego": "package safeconduct.host\n\n" + HEAD + 'most := data["limits"].rank\n',
    "util.rego": "# data.regions\npackage safeconduct.host.util # data\n\n"
    + HEAD
    + "within(region) if region in data.regions\n",
    "masks.rego": "package safeconduct.host.masks\n\n"
    + HEAD
    + 'obligations contains {"type": "mask", "pointers": ["/a"]} if input.tool.known\n',
    "data.json": '{"regions": ["EU", "é"], "limits": {"rank": 3}}',
}


def host_bundle(directory: Path, files: dict[str, str] = FILES) -> Bundle:
    for name, text in files.items():
        (directory / name).write_text(text)
    return Bundle.shipped().with_directory(directory)


class Running:
    """A server process, and how to lose everything it knows."""

    def __init__(self, command: list[str], port: int) -> None:
        self._command = command
        self.url = f"http://127.0.0.1:{port}"
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self._command, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(60), httpx2.AsyncClient(trust_env=False) as client:
            while True:
                try:
                    if (await client.get(f"{self.url}/health")).status_code == 200:
                        return
                except httpx2.TransportError:
                    await asyncio.sleep(0.05)

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def policies(self, method: str = "GET", name: str = "") -> list[str]:
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with httpx2.AsyncClient(trust_env=False, headers=headers) as client:
            answered = await client.request(method, f"{self.url}/v1/policies{name}")
        found = answered.json().get("result", [])
        return [each["id"] for each in found]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def front(port: int, _: Path) -> list[str]:
    """OPA's engine behind our own HTTP: see tests/fixtures/opa_server.py for what differs."""
    found, why = opa_library()
    if found is None:
        pytest.skip(why)
    words = ["--port", str(port), "--token", TOKEN]
    return [sys.executable, "-m", "tests.fixtures.opa_server", *words]


def program(port: int, directory: Path) -> list[str]:
    """OPA's own server, where somebody has installed it."""
    found = shutil.which("opa")
    if found is None:
        pytest.skip("opa is not on the PATH; its engine is tested behind a front of our own")
    guard = directory / "authz.rego"
    guard.write_text(
        "package system.authz\n\nimport rego.v1\n\ndefault allow := false\n\n"
        f'allow if input.identity == "{TOKEN}"\n\nallow if input.path == ["health"]\n'
    )
    words = f"run --server --addr 127.0.0.1:{port} --authentication=token --authorization=basic"
    return [found, *words.split(), str(guard)]


@pytest.fixture(scope="module", params=[front, program], ids=["engine", "program"])
async def opa(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    port = free_port()
    running = Running(request.param(port, tmp_path_factory.mktemp("opa")), port)
    await running.start()
    yield running
    await running.stop()


@asynccontextmanager
async def engine(opa: Running, bundle: Bundle, token: str = TOKEN) -> AsyncIterator[OpaEngine]:
    # Generous: a busy machine is no counterexample here.
    servers = OpaServers([opa.url], token=Secret(token), timeout_seconds=30.0)
    try:
        yield OpaEngine(bundle, servers)
    finally:
        await servers.aclose()


async def answered(engine: Engine, raw: bytes) -> Any:
    try:
        return msgspec.json.decode(await engine.evaluate(raw))
    except EngineFailed:
        return "failed"


@pytest.mark.requirement("Z-20")
async def test_a_hosts_bundle_decides_over_the_road_as_it_does_here(
    opa: Running, tmp_path: Path
) -> None:
    bundle = host_bundle(tmp_path)
    here = Embedded(bundle)
    outside = some_facts()
    outside.subject.attributes["region"] = "US"
    accented = some_facts()
    accented.subject.attributes["region"] = "é"
    raws = [document(a_request(), each).document for each in (some_facts(), outside, accented)]

    async with engine(opa, bundle) as there:
        decisions = [(await answered(there, raw), await answered(here, raw)) for raw in raws]

    assert [(one["allow"], one["reason"]) for one, _ in decisions] == [
        (True, "allowed"),
        (False, "policy.region"),
        (True, "allowed"),
    ]
    assert all(one == two for one, two in decisions)
    assert decisions[0][0]["obligations"] == [{"type": "mask", "pointers": ["/a"]}]


@pytest.mark.timeout(300)
@pytest.mark.requirement("Z-20")
async def test_any_input_is_decided_alike(opa: Running, tmp_path: Path) -> None:
    bundle = host_bundle(tmp_path)
    here = Embedded(bundle)
    asked: list[bytes] = []

    @settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], database=None)
    @given(st.lists(inputs(), min_size=4, max_size=8))
    def collect(found: list[bytes]) -> None:
        asked.extend(found)

    await asyncio.to_thread(collect)
    async with engine(opa, bundle) as there:
        for raw in asked:
            assert await answered(there, raw) == await answered(here, raw), raw

    assert len(asked) > 150


@pytest.mark.requirement("Z-20")
async def test_two_bundles_share_a_server_without_meeting(opa: Running, tmp_path: Path) -> None:
    strict = host_bundle(tmp_path, FILES | {"data.json": '{"regions": ["US"], "limits": {}}'})
    raw = document(a_request(), some_facts()).document

    async with engine(opa, strict) as one, engine(opa, Bundle.shipped()) as other:
        first, second, third = [await answered(each, raw) for each in (one, other, one)]

    assert (first["reason"], second["reason"]) == ("policy.region", "allowed")
    assert third == first


@pytest.mark.requirement("Z-37")
async def test_a_bundle_with_a_part_missing_does_not_decide_without_it(
    opa: Running, tmp_path: Path
) -> None:
    """The part may be the one that refuses: without it, OPA would answer allow."""
    bundle = host_bundle(tmp_path)
    outside = some_facts()
    outside.subject.attributes["region"] = "US"
    raw = document(a_request(), outside).document
    parts = [name for name, _ in relocated(bundle).modules if "region" in name or "exten" in name]

    async with engine(opa, bundle) as there:
        for part in parts:
            assert (await answered(there, raw))["reason"] == "policy.region"
            await opa.policies("DELETE", f"/{part}")
            assert part not in await opa.policies()
            assert await there._asked(there._servers.two()[0], b'{"input":%b}' % raw, 1e18) is None
            assert (await answered(there, raw))["reason"] == "policy.region"
            assert part in await opa.policies()

    assert len(parts) == 2


@pytest.mark.requirement("Z-37")
async def test_a_server_that_starts_again_with_nothing_is_given_the_rules(opa: Running) -> None:
    bundle = Bundle.shipped()
    raw = document(a_request(), some_facts()).document

    async with engine(opa, bundle) as there:
        assert (await answered(there, raw))["allow"]
        await opa.stop()
        assert await answered(there, raw) == "failed"
        await opa.start()
        there_now = [each.rpartition("/")[2] for each in await opa.policies()]
        assert there_now in ([], ["authz.rego"])
        assert (await answered(there, raw))["allow"]


@pytest.mark.requirement("Z-37")
async def test_a_wrong_token_is_a_deny(opa: Running) -> None:
    policy_of = lambda engine: HostPolicy(engine=engine, bundle="b")  # noqa: E731
    decisions = []
    for token in (TOKEN, "wrong"):
        async with engine(opa, Bundle.shipped(), token) as there:
            pdp = Pdp(lambda _, there=there: policy_of(there))
            decisions.append(await pdp.decide(a_request(), some_facts()))

    assert [each.reason for each in decisions] == ["allowed", "engine.failed"]


@pytest.mark.requirement("Z-37")
@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{},"input":{}'])
async def test_what_is_not_an_input_is_not_decided(opa: Running, raw: bytes) -> None:
    async with engine(opa, Bundle.shipped()) as there:
        found = await answered(there, raw)

    assert found == "failed" or not found["allow"]


async def test_what_opa_does_not_compile_is_a_deny_and_said(
    opa: Running, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """OPA checks types, which the engine in this process does not."""
    text = "package safeconduct.host\n\n" + HEAD + 'a if count(5) == 1\n\nb := {"x": 1}.y\n'
    bundle = host_bundle(tmp_path, {"x.rego": text})
    raw = document(a_request(), some_facts()).document

    async with engine(opa, bundle) as there:
        assert await answered(there, raw) == "failed"

    assert (await answered(Embedded(bundle), raw))["allow"]
    assert "host/x.rego:" in caplog.text


def test_functions_that_cannot_be_put_in_order_are_refused_by_name(tmp_path: Path) -> None:
    one = (
        "package safeconduct.host.a\n\n"
        + HEAD
        + "f(x) := x + 1\ng(x) := data.safeconduct.host.b.f(x)\n"
    )
    two = (
        "package safeconduct.host.b\n\n"
        + HEAD
        + "f(x) := x + 1\ng(x) := data.safeconduct.host.a.f(x)\n"
    )
    bundle = host_bundle(tmp_path, {"a.rego": one, "b.rego": two})

    with pytest.raises(BundleError, match=r"host/a\.rego, host/b\.rego.*both ways"):
        relocated(bundle)


def test_a_bundle_means_the_same_at_its_new_place(tmp_path: Path) -> None:
    bundle = host_bundle(tmp_path)
    moved = relocated(bundle)
    texts = dict(moved.modules)
    region = next(text for name, text in texts.items() if name.endswith("region.rego"))

    assert '"data.regions"' in region
    assert '"data.regions é"' in region
    assert json.loads(moved.data) == {"loaded": True, "x": bundle.data}
    assert bundle.digest in moved.place
    assert at_once(Embedded(bundle).evaluate(document(a_request(), some_facts()).document))
