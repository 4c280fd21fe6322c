"""Steps 3 to 5 of the road: describe a call, have it decided, refuse what is not allowed.

One way to ask, for calls, for items of a list and for streams that have been open a while.
"""

from __future__ import annotations

from msgspec.structs import replace

from safeconduct.core.errors import Code
from safeconduct.core.model import Decision, Level
from safeconduct.policy import FactSources, Pdp, ToolFacts
from safeconduct.proxy.calls import Call
from safeconduct.proxy.refusals import Denied
from safeconduct.sessions import Sessions
from safeconduct.upstreams import PINNED, Server

_ALWAYS = ToolFacts(known=True, enabled=True, state="pinned", level=Level.LOW)
_NEVER = ToolFacts(known=False, enabled=False, state="new", level=Level.HIGH)
_CODES = {
    "session.ended": Code.UNAUTHENTICATED,
    "consent.none": Code.UNAUTHENTICATED,
    "consent.expired": Code.UNAUTHENTICATED,
    "tool.unknown": Code.UNKNOWN_TOOL,
    "tool.disabled": Code.UNKNOWN_TOOL,
    "tool.changed": Code.TOOL_CHANGED,
}


class Decider:
    """Asks the PDP on behalf of the road."""

    def __init__(self, *, sources: FactSources, pdp: Pdp, sessions: Sessions) -> None:
        self._sources = sources
        self._pdp = pdp
        self._sessions = sessions

    async def decide(
        self, call: Call, kind: str = "", name: str = "", action: str = ""
    ) -> Decision:
        """Decide a call, or whether its caller might use another item of the server."""
        kind, name = kind or call.row.kind, name or call.message.name
        request = call.request(kind, name, action or call.message.method)
        agent = call.exchange.headers.text(b"user-agent") or ""
        facts = await self._sources.gather(
            request,
            call.session,
            client=call.client,
            tool=_tool_facts(call.server, kind, name),
            ip=call.exchange.ip,
            user_agent=agent[:200],
        )
        return self._pdp.decide(request, facts)

    async def still(self, call: Call) -> Decision:
        """Decide again, for a stream that is open: on the session as it is now."""
        session = await self._sessions.get(call.caller.host, call.caller.session)
        if session is None:  # nothing is left of it, so it has ended
            session = replace(call.session, ended_at=call.session.opened_at)
        return await self.decide(call._replace(session=session))


def refuse(decision: Decision) -> None:
    """Let an allowed call pass.

    Raises:
        Denied: For anything else. 403 is kept for the one case where consenting again helps.
    """
    if decision.allow:
        return
    code = _CODES.get(decision.reason, Code.FORBIDDEN)
    raise Denied(Code.INSUFFICIENT_LEVEL if decision.step_up else code, decision)


def _tool_facts(server: Server, kind: str, name: str) -> ToolFacts:
    """Describe what is asked for; resources, prompts and the server itself are level low."""
    if kind != "tool":
        return _ALWAYS
    tool = server.tools.get(name)
    if tool is None:
        return _NEVER
    return ToolFacts(
        known=True,
        enabled=tool.enabled,
        state="pinned" if tool.state == PINNED else "changed",
        level=tool.level,
    )
