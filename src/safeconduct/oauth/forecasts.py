"""What the host's rules will say once a person has allowed an agent something: asked beforehand.

The same rules and facts as for tokens and calls, with the consent and the session as they would
be; nothing is stored and nothing is promised, since every call is decided again. What depends on
arguments is not known before there are any, so that tools are asked about as items of a list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec.structs import replace

from safeconduct.core.clock import Clock
from safeconduct.core.decision import Decision, RequireApproval
from safeconduct.core.model import (
    AccessRequest,
    Caller,
    ConsentId,
    Level,
    Resource,
    SessionId,
    Value,
)
from safeconduct.hosts import Host
from safeconduct.oauth.registry import Client
from safeconduct.people import Person
from safeconduct.policy import (
    FAILED,
    ClientFacts,
    ConsentFacts,
    Device,
    Facts,
    FactSources,
    Pdp,
    ToolFacts,
)
from safeconduct.sessions import Session
from safeconduct.upstreams import PINNED, Server, Tool

_TOKEN, _CALL = "oauth/token", "tools/call"
_SERVER = ToolFacts(known=True, enabled=True, state="pinned", level=Level.LOW)
_AT_ONCE = 50
# What a person sees without being told: the level of the tool, and whether it was reviewed.
_PLAIN = frozenset(
    {"consent.level", "ceiling.exceeded", "tool.changed", "tool.disabled", "tool.unknown"}
)


class ToolForecast(Value, frozen=True):
    """One tool at one level.

    Attributes:
        why: The rule's own reason for a no, where the level alone does not say it.
        approver: Whether an operator is asked each time.
    """

    allowed: bool
    why: str = ""
    approver: bool = False


class Forecast(Value, frozen=True):
    """One level.

    Attributes:
        refused: Why the agent would get no token at all, in the rule's words, or "".
        tools: What becomes of each tool, by name.
    """

    refused: str
    tools: dict[str, ToolForecast]


class Forecasts:
    """Asks the rules about what is not so yet."""

    def __init__(self, *, sources: FactSources, pdp: Pdp, clock: Clock) -> None:
        """Take what decides; the PDP must tell nobody, since nothing happens."""
        self._sources = sources
        self._pdp = pdp
        self._clock = clock

    async def refusal(
        self, host: Host, client: Client, person: Person, server: Server, level: Level, ip: str
    ) -> str:
        """Say why the agent would get no token at this level, or ""."""
        request = _request(host, client, person, server)
        token, _ = await self._facts(request, client, ip)
        return await self._refusal(request, self._at(token, level))

    async def levels(
        self, host: Host, client: Client, person: Person, server: Server, ip: str
    ) -> Mapping[Level, Forecast]:
        """Return the forecast of every level."""
        request = _request(host, client, person, server)
        token, listed = await self._facts(request, client, ip)
        tools = [tool for tool in server.tools.values() if tool.enabled]
        found = {}
        for level in Level:
            refused = await self._refusal(request, self._at(token, level))
            facts = self._at(listed, level)
            found[level] = Forecast(
                refused=refused,
                tools={} if refused else await self._tools(request, facts, tools),
            )
        return found

    async def _refusal(self, request: AccessRequest, facts: Facts) -> str:
        decision = await self._pdp.decide(request, facts)
        return "" if decision.allow else decision.message or decision.reason

    async def _tools(
        self, request: AccessRequest, facts: Facts, tools: list[Tool]
    ) -> dict[str, ToolForecast]:
        found: dict[str, ToolForecast] = {}
        for number, tool in enumerate(tools):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)  # a long list holds nobody else up
            resource = Resource(kind="tool", server=request.resource.server, name=tool.name)
            about = replace(request, action=_CALL, resource=resource, phase="list")
            decision = await self._pdp.decide(about, replace(facts, tool=_described(tool)))
            found[tool.name] = _forecast(decision)
            if decision.reason == FAILED:  # an engine that is away is not asked for each
                return dict.fromkeys((each.name for each in tools), _forecast(decision))
        return found

    async def _facts(self, request: AccessRequest, client: Client, ip: str) -> tuple[Facts, Facts]:
        """Gather what is true now: for a token, and for items of a list."""
        session, agent = self._session(request.caller), _agent(client)
        listed = replace(
            request,
            action=_CALL,
            resource=Resource(kind="tool", server=request.resource.server),
            phase="list",
        )
        token, items = [
            await self._sources.gather(
                each, session, client=agent, tool=_SERVER, device=Device(ip=ip)
            )
            for each in (request, listed)
        ]
        return token, items

    def _at(self, facts: Facts, level: Level) -> Facts:
        now = self._clock.now()
        given = ConsentFacts(
            id=ConsentId("consent_asked"), level=level, live=True, granted_at=_spelled(now)
        )
        return replace(facts, consent=given)

    def _session(self, caller: Caller) -> Session:
        now = self._clock.now()
        return Session(
            host=caller.host,
            id=caller.session,
            subject=caller.subject,
            client=caller.client,
            server=caller.server,
            opened_at=now,
            used_at=now,
            ends_at=now + timedelta(days=1),
            idle_seconds=86_400,
        )


def _request(host: Host, client: Client, person: Person, server: Server) -> AccessRequest:
    caller = Caller(
        host=host.key,
        subject=person.id,
        client=client.id,
        session=SessionId("session_asked"),
        server=server.key,
    )
    resource = Resource(kind="server", server=server.key)
    return AccessRequest(caller=caller, action=_TOKEN, resource=resource, phase="token")


def _agent(client: Client) -> ClientFacts:
    return ClientFacts(id=client.id, name=client.name, active=not client.blocked, kind=client.kind)


def _described(tool: Tool) -> ToolFacts:
    return ToolFacts(
        known=True,
        enabled=tool.enabled,
        state="pinned" if tool.state == PINNED else "changed",
        level=tool.level,
    )


def _forecast(decision: Decision) -> ToolForecast:
    if decision.allow:
        asks = any(isinstance(each, RequireApproval) for each in decision.obligations)
        return ToolForecast(allowed=True, approver=asks)
    plain = decision.reason in _PLAIN
    return ToolForecast(allowed=False, why="" if plain else decision.message or decision.reason)


def _spelled(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
