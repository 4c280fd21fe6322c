"""Answers of a plain HTTP API: data, text, or an error a model can read; nothing else passes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from safeconduct.egress import Reply, UpstreamFailed, UpstreamTimeout
from safeconduct.upstreams.http_answers import Result, read_answer

SECRETS = [b"Bearer s3cret-s3cret-s3cret", b"2026-01-01"]


async def read(
    body: bytes | str, kind: str = "application/json", status: int = 200, **more: Any
) -> Result:
    raw = body.encode() if isinstance(body, str) else body
    reply = Reply.made(status, kind.encode(), raw, upstream_status=status)
    return await read_answer(reply, name="Tickets", secrets=SECRETS, **more)


def text_of(result: Result) -> str:
    (block,) = result["content"]
    assert block["type"] == "text"
    return str(block["text"])


@pytest.mark.parametrize(
    "kind", ["application/json", "application/problem+json", "Application/JSON; charset=UTF-8"]
)
async def test_an_object_is_data_and_the_same_as_text(kind: str) -> None:
    result = await read('{"é": [1, 2.5, null], "big": 123456789012345678901234567890}', kind)

    assert result["structuredContent"]["é"] == [1, 2.5, None]
    assert json.loads(text_of(result)) == result["structuredContent"]
    assert result["isError"] is False


@pytest.mark.parametrize("body", ["[1,2]", '"text"', "null", "17"])
async def test_other_json_is_text(body: str) -> None:
    result = await read(body)

    assert text_of(result) == body
    assert "structuredContent" not in result


@pytest.mark.parametrize(
    "kind", ["text/plain", "text/html; charset=utf-8", 'text/csv;charset="UTF-8"']
)
async def test_text_is_text(kind: str) -> None:
    result = await read("<b>é</b>", kind, 201)

    assert result == {"content": [{"type": "text", "text": "<b>é</b>"}], "isError": False}


async def test_nothing_is_said_to_be_nothing() -> None:
    assert "HTTP 204 and nothing else" in text_of(await read(b"", "", 204))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\x89PNG", "image/png"),
        (b"%PDF", "application/octet-stream"),
        (b"x", ""),
        (b"data: x\n\n", "text/event-stream"),
        (b"x", "text/plain; charset=iso-8859-1"),
        (b"{}", "application/json; charset=utf-16"),
        (b"\xff", "text/plain"),
        (b'{"a":1,"a":2}', "application/json"),
        (b'{"a":"\\ud800"}', "application/json"),
        (b"<html>", "application/json"),
        (b"NaN", "application/json"),
        (b"[" * 100 + b"]" * 100, "application/json"),
        (b"{}", "application/x-json"),
        (b"x" * (2 * 1024 * 1024 + 1), "text/plain"),
    ],
)
async def test_what_cannot_be_passed_on_is_not(body: bytes, kind: str) -> None:
    with pytest.raises(UpstreamFailed) as refused:
        await read(body, kind)

    assert len(refused.value.public) < 200


async def test_a_coded_body_is_not_passed_on() -> None:
    reply = Reply.made(200, b"application/json", b"\x1f\x8b", upstream_status=200)
    reply.headers.append((b"content-encoding", b"gzip"))

    with pytest.raises(UpstreamFailed, match="kind that is not passed on"):
        await read_answer(reply, name="Tickets", secrets=[])


@pytest.mark.parametrize("status", [300, 302, 304, 400, 401, 403, 404, 429, 500, 503, 599])
async def test_an_error_is_the_tools_with_its_status(status: int) -> None:
    result = await read('{"message": "why"}', status=status)

    assert result["isError"] is True
    assert text_of(result) == f'Tickets answered with HTTP {status}.\n{{"message": "why"}}'


async def test_an_errors_text_is_bounded() -> None:
    assert len(text_of(await read("é" * 5000, "text/plain", 500))) < 2100
    assert (
        text_of(await read("x" * 100_000, "text/plain", 500)) == "Tickets answered with HTTP 500."
    )


@pytest.mark.parametrize(("body", "kind"), [(b"\x00\x01", "image/png"), (b"\xff", "text/plain")])
async def test_an_error_that_is_no_text_is_its_status(body: bytes, kind: str) -> None:
    assert text_of(await read(body, kind, 500)) == "Tickets answered with HTTP 500."


@pytest.mark.parametrize("echo", ["Bearer s3cret-s3cret-s3cret", "x s3cret-s3cret-s3cret x"])
async def test_the_gateways_own_credentials_do_not_come_back(echo: str) -> None:
    with pytest.raises(UpstreamFailed, match="credentials") as refused:
        await read(json.dumps({"headers": echo}))
    failed = await read(json.dumps({"headers": echo}), status=401)

    assert "s3cret" not in str(refused.value.args)
    assert text_of(failed) == "Tickets answered with HTTP 401."


async def test_a_short_value_may_be_there_by_chance() -> None:
    assert "2026-01-01" in text_of(await read('{"on":"2026-01-01","how":"Bearer"}'))


async def test_a_body_that_drips_is_given_up() -> None:
    endless = Reply(200, [(b"content-type", b"text/plain")], None, _Source())
    endless.feed(b"x")

    with pytest.raises(UpstreamTimeout):
        await read_answer(endless, name="Tickets", secrets=[], seconds=0.01)


class _Source:
    def drained(self) -> None: ...

    def abort(self) -> None: ...
