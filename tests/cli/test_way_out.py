"""What the doctor says of the way out."""

from __future__ import annotations

import asyncio

from safeconduct.cli.work.examining import way_out
from safeconduct.core.secrets import Secret
from safeconduct.settings import EgressSettings


async def test_the_doctor_says_whether_the_forward_proxy_answers_and_never_its_password() -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    egress = EgressSettings(proxy=Secret(f"http://us:s3cret@127.0.0.1:{port}"))

    (up,) = [finding async for finding in way_out(egress, {})]
    server.close()
    await server.wait_closed()
    (down,) = [finding async for finding in way_out(egress, {})]

    assert (up.check, up.state) == ("egress", "ok")
    assert down.state == "fail"
    assert "server.egress.proxy" in down.fix
    assert "s3cret" not in up.message + down.message


async def test_the_doctor_names_a_variable_that_is_not_used() -> None:
    environ = {"https_proxy": "http://us:s3cret@proxy.test:3128"}

    (said,) = [finding async for finding in way_out(EgressSettings(), environ)]

    assert (said.check, said.state) == ("egress", "warn")
    assert "https_proxy is set and not used" in said.message
    assert "server.egress.proxy: {env: https_proxy}" in said.fix
    assert "s3cret" not in said.message
    assert [finding async for finding in way_out(EgressSettings(), {})] == []


async def test_the_doctor_names_what_the_variable_cannot_mean() -> None:
    egress = EgressSettings(proxy=Secret("http://127.0.0.1:9"))
    environ = {"NO_PROXY": "corp.test,other.test:80"}

    said, _ = [finding async for finding in way_out(egress, environ)]

    assert (said.check, said.state) == ("egress", "warn")
    assert "other.test:80" in said.message
    assert "corp.test" not in said.message
