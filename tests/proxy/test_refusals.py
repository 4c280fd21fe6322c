"""Every refusal has one spelling on the wire, in both eras."""

from __future__ import annotations

import json

import pytest

from safeconduct.core.decision import Decision
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import Level
from safeconduct.proxy.exchange import raw_body
from safeconduct.proxy.messages import LEGACY, MODERN
from safeconduct.proxy.refusals import TABLE, Denied, answer


@pytest.mark.requirement("K-06")
def test_every_code_has_an_answer() -> None:
    assert set(Code) == TABLE.keys()


@pytest.mark.requirement("K-06")
@pytest.mark.parametrize("row", TABLE.values())
def test_codes_of_our_own_stay_out_of_what_others_reserve(row: tuple[int, int, int]) -> None:
    """JSON-RPC and MCP keep -32768 to -32000; only codes they define are used of those."""
    assert row[0] > 0 or row[0] in {-32700, -32600, -32601, -32602, -32603, -32020, -32022}


@pytest.mark.parametrize("code", list(Code))
@pytest.mark.parametrize("era", [LEGACY, MODERN, None])
@pytest.mark.parametrize("message_id", [None, 0, "", "x", -(10**30)])
def test_a_refusal_is_json_rpc_under_the_requests_id(
    code: Code, era: str, message_id: str | int | None
) -> None:
    said = answer(Refused(code, "Why.", "detail"), era=era, message_id=message_id)  # type: ignore[arg-type]  # one of the two

    message = json.loads(raw_body(said))
    assert message["jsonrpc"] == "2.0"
    assert message["id"] == message_id
    assert message["error"]["message"] == "Why."
    assert "detail" not in raw_body(said).decode()
    assert said.status != 200 or message_id is not None
    assert (b"cache-control", b"no-store") in said.headers


@pytest.mark.requirement("K-11", "P-11")
def test_an_unknown_tool_is_refused_without_data_and_a_denied_one_with() -> None:
    decision = Decision(
        id="dec_1", allow=False, reason="r", message="m", bundle="b", required_level=Level.HIGH
    )

    unknown = answer(Denied(Code.UNKNOWN_TOOL, decision), era=LEGACY, message_id=1)
    denied = answer(Denied(Code.FORBIDDEN, decision), era=LEGACY, message_id=1)

    assert "data" not in json.loads(raw_body(unknown))["error"]
    assert json.loads(raw_body(denied))["error"]["data"] == {
        "reason": "r",
        "required_level": "high",
        "effective_level": None,
        "decision_id": "dec_1",
    }
