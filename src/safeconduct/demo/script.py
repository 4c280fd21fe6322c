"""The scripted demo: real clients, real pages, and every claim held against a fact.

Two acts, one in each protocol era. In each an agent connects, a person consents, a read
works, a destructive call is denied and never arrives, the person takes the consent back and
the very next call fails. At the end the log of it all is read and verified.
"""

from __future__ import annotations

import asyncio
from typing import Any

from mcp import Client
from mcp.shared.exceptions import MCPError

from safeconduct.audit import read, verify
from safeconduct.core.model import HostId, ServerKey, Value
from safeconduct.demo import seed
from safeconduct.demo.agent import Agent, TurnedAway
from safeconduct.demo.company import Company
from safeconduct.demo.store import executed_calls
from safeconduct.demo.story import Story
from safeconduct.rehearsal import Missing, Person, Unexpected, post_json

_DENIED = 4030
_PROVEN = (
    *("sign_in", "consent.granted", "session.opened", "call.intent", "call.outcome"),
    *("call.denied", "consent.ended", "session.ended"),
)


class ToolCall(Value, frozen=True):
    """One call an agent makes."""

    tool: str
    arguments: dict[str, Any]


class Act(Value, frozen=True):
    """Who does what, through which agent, in which era.

    Attributes:
        offered: The levels the consent page must leave open.
        read: A call that is allowed, and `shows`, words its result holds.
        destroy: A call that must be denied.
    """

    title: str
    person: str
    agent: str
    era: str
    server: ServerKey
    level: str
    offered: tuple[str, ...]
    read: ToolCall
    shows: str
    destroy: ToolCall


ACTS = (
    Act(
        title="Alice and her coding agent (MCP 2026-07-28)",
        person="alice",
        agent="Coding agent",
        era="2026-07-28",
        server=ServerKey("tickets"),
        level="Medium",
        offered=("Low", "Medium"),
        read=ToolCall(tool="get_issue", arguments={"key": "T-7"}),
        shows="signing key",
        destroy=ToolCall(tool="delete_issue", arguments={"key": "T-7"}),
    ),
    Act(
        title="Bob and his research agent (MCP 2025-11-25)",
        person="bob",
        agent="Research agent",
        era="legacy",
        server=ServerKey("documents"),
        level="Low",
        offered=("Low",),
        read=ToolCall(tool="search_documents", arguments={"query": "incident"}),
        shows="security/incident-plan.md",
        destroy=ToolCall(tool="delete_document", arguments={"path": "security/incident-plan.md"}),
    ),
)


async def play(company: Company, story: Story) -> list[dict[str, Any]]:
    """Play both acts and the epilogue; returns the log's records."""
    for act in ACTS:
        story.act(act.title)
        try:
            await _Scene(act, company, story).play()
        except (Missing, Unexpected, TurnedAway, MCPError, OSError, ExceptionGroup) as error:
            story.step("The story goes on to its end", _innermost(error), held=False)
    story.act("The log")
    return await asyncio.to_thread(_log, company, story)


class _Scene:
    """One act on stage."""

    def __init__(self, act: Act, company: Company, story: Story) -> None:
        self._act = act
        self._story = story
        self._company = company
        self._url = company.endpoint(act.server)
        self._server = seed.SERVERS[act.server]
        character = next(one for one in seed.PEOPLE if one.key == act.person)
        self._name = character.name
        self._person = Person(
            origin=company.origin,
            email=character.email,
            password=company.passwords[act.person],
        )
        self._agent = Agent(act.agent, self._url, ask=self._asked)

    async def play(self) -> None:
        await self._stranger()
        async with self._agent.connected(self._act.era) as client:
            await self._listed(client)
            await self._read(client)
            await self._denied(client)
        await self._taken_back()
        await self._again()

    async def _asked(self, url: str) -> str:
        if self._agent.asked > 1:  # it was taken back; once is enough
            return await asyncio.to_thread(self._person.deny, url, server=self._server)
        return await asyncio.to_thread(
            self._person.allow, url, server=self._server, level=self._act.level
        )

    async def _stranger(self) -> None:
        answer = await asyncio.to_thread(post_json, self._url, _ping())
        self._story.step(
            "A caller without a token is sent to sign in",
            f"HTTP {answer.status}, {answer.header('www-authenticate') or 'no challenge'}",
            held=answer.status == 401 and "resource_metadata=" in answer.header("www-authenticate"),
        )

    async def _listed(self, client: Client) -> None:
        names = [tool.name for tool in (await client.list_tools()).tools]
        self._consented()
        self._story.step(
            "The agent sees the tools it could call and no others",
            ", ".join(names),
            held=self._act.read.tool in names and self._act.destroy.tool not in names,
        )

    def _consented(self) -> None:
        open_ = [name for name, can in self._person.offered.items() if can]
        self._story.step(
            f"{self._name} signs in and lets the agent use {self._server} at level "
            f"{self._act.level}; what the admin's ceiling forbids cannot be chosen",
            f"asked {self._agent.asked} time, levels open: {', '.join(open_) or 'none'}",
            held=self._agent.asked == 1 and tuple(open_) == self._act.offered,
        )

    async def _read(self, client: Client) -> None:
        call = self._act.read
        result = await client.call_tool(call.tool, call.arguments)
        text = " ".join(getattr(part, "text", "") for part in result.content)
        self._story.step(
            f"It calls {call.tool} and gets the answer",
            f"{text[:60]!r}...",
            held=not result.is_error and self._act.shows in text and self._arrived(call) == 1,
        )

    async def _denied(self, client: Client) -> None:
        call = self._act.destroy
        code, said, reason = 0, "it was allowed", ""
        try:
            await client.call_tool(call.tool, call.arguments)
        except MCPError as error:
            code, said = error.code, error.message
            reason = str((error.data or {}).get("reason", ""))
        self._story.step(
            f"It calls {call.tool} and is told why not; the server never hears of it",
            f"error {code} ({reason}): {said}",
            held=code == _DENIED and bool(reason) and self._arrived(call) == 0,
        )

    async def _taken_back(self) -> None:
        await asyncio.to_thread(self._person.end, self._server)
        before = self._arrivals()
        answer = await asyncio.to_thread(
            post_json, self._url, _ping(), {"authorization": f"Bearer {self._agent.bearer}"}
        )
        self._story.step(
            f"{self._name} ends the consent on the account page; the very next call fails",
            f"HTTP {answer.status}, calls that reached {self._server} since: "
            f"{self._arrivals() - before}",
            held=bool(self._agent.bearer) and answer.status == 401 and self._arrivals() == before,
        )

    async def _again(self) -> None:
        said = "it was let in"
        try:
            async with self._agent.connected(self._act.era) as client:
                await client.list_tools()
        except* (TurnedAway, MCPError) as group:
            said = _innermost(group)
        self._story.step(
            f"The agent has to ask again, and {self._name} says no",
            f"asked {self._agent.asked} times; {said}",
            held=self._agent.asked == 2 and "access_denied" in said,
        )

    def _arrived(self, call: ToolCall) -> int:
        return sum(done.tool == call.tool for done in self._calls())

    def _arrivals(self) -> int:
        return len(self._calls())

    def _calls(self) -> list[Any]:
        return executed_calls(self._company.calls_of(self._act.server))


def _log(company: Company, story: Story) -> list[dict[str, Any]]:
    records = list(read(company.trial.audit, host=HostId(seed.HOST)))
    for kind in _PROVEN:
        found = sum(record["kind"] == kind for record in records)
        story.step(f"{kind} is written down for both", f"{found} records", held=found >= len(ACTS))
    kept = [word for word in company.passwords.values() if word in str(records)]
    story.step("No password stands in it", f"{len(kept)} found", held=not kept)
    proof = verify(company.trial.audit)
    story.step(
        "Every record is whole and in its place",
        f"{proof.records} records, {len(proof.problems)} problems",
        held=proof.whole and proof.records >= len(records),
    )
    return records


def _ping() -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "ping"}


def _innermost(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)
