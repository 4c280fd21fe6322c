"""Steps 3 to 5 of the road: describe a call, have it decided, refuse what is not allowed.

One way to ask, for calls, for items of a list and for streams that have been open a while.
"""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from safeconduct.core.binding import Question, asked_of_arguments, asked_of_uri
from safeconduct.core.decision import Decision
from safeconduct.core.derived import Derived
from safeconduct.core.errors import Code
from safeconduct.core.model import AccessRequest, Level, Phase
from safeconduct.hosts import Hosts
from safeconduct.policy import ClientFacts, Device, FactSources, Pdp, ToolFacts
from safeconduct.proxy.ambiguity import URI_FORM, judged_arguments, judged_uri, uri_fault
from safeconduct.proxy.background import Background
from safeconduct.proxy.calls import Call
from safeconduct.proxy.eras import META_CLIENT
from safeconduct.proxy.fitting import Fitting
from safeconduct.proxy.messages import Listing, takes_long
from safeconduct.proxy.refusals import ARGUMENTS_UNFIT, Denied
from safeconduct.proxy.unkept import Unkept
from safeconduct.sessions import Session, Sessions
from safeconduct.upstreams import CHANGED, NEW, PINNED, UNKNOWN, Server, Tool

_ALWAYS = ToolFacts(known=True, enabled=True, state="pinned", level=Level.LOW)
_NEVER = ToolFacts(known=False, enabled=False, state="new", level=Level.HIGH)
_AS_REVIEWED = {
    PINNED: _ALWAYS,
    CHANGED: replace(_ALWAYS, state="changed"),
    NEW: replace(_ALWAYS, state="new"),
    UNKNOWN: _NEVER,
}
_LONGEST = 200
_CODES = {
    "session.ended": Code.UNAUTHENTICATED,
    "consent.none": Code.UNAUTHENTICATED,
    "consent.expired": Code.UNAUTHENTICATED,
    "tool.unknown": Code.UNKNOWN_TOOL,
    "tool.disabled": Code.UNKNOWN_TOOL,
    "tool.changed": Code.TOOL_CHANGED,
    URI_FORM: Code.INVALID_PARAMS,
    ARGUMENTS_UNFIT: Code.INVALID_PARAMS,
}
# What these are about may be a template, which names no resource.
_OF_TEMPLATES = frozenset({"completion/complete", "resources/templates/list"})
_JUDGED = frozenset({"tool", "resource"})


class Decider:
    """Asks the PDP on behalf of the road."""

    def __init__(
        self,
        *,
        hosts: Hosts,
        sources: FactSources,
        pdp: Pdp,
        sessions: Sessions,
        fitting: Fitting,
        background: Background,
        unkept: Unkept,
    ) -> None:
        self._hosts = hosts
        self._fitting = fitting
        self._background = background
        self._unkept = unkept
        self._sources = sources
        self._pdp = pdp
        self._sessions = sessions
        self._tool = Derived(_described)

    async def decide(
        self, call: Call, kind: str = "", name: str = "", action: str = "", phase: Phase = "call"
    ) -> Decision:
        """Decide a call, or whether its caller might use another item of the server."""
        kind, name = kind or call.row.kind, name or call.message.name
        request = call.request(kind, name, action or call.message.method, phase)
        return await self.ask(
            request,
            session=call.session,
            client=call.client,
            server=call.server,
            device=_device(call),
            template=call.message.method in _OF_TEMPLATES,
            era=call.revision.era,
        )

    async def ask(
        self,
        request: AccessRequest,
        *,
        session: Session | None,
        client: ClientFacts,
        server: Server | None,
        device: Device,
        level: Level = Level.LOW,
        template: bool = False,
        era: str = "",
    ) -> Decision:
        """Decide one request on what is true now; no session or no server is no permission.

        Args:
            level: How much is to be done with what has no level of its own: all but tools.
            template: Whether a resource may be a template of some.
            era: The one a call is sent in.
        """
        kind, name = request.resource.kind, request.resource.name
        facts = await self._sources.gather(
            request,
            session,
            client=client,
            tool=_NEVER if server is None else self._tool_facts(server, kind, name, level),
            device=device,
            bound=[] if server is None else _bound(server, request),
        )
        decision = await self._pdp.decide(request, facts)
        if kind not in _JUDGED:
            return decision
        reads = self._pdp.reads(request.caller.host)
        if kind == "resource":
            return judged_uri(decision, request, server=server, reads=reads, template=template)
        if request.phase != "call" and not (request.phase == "check" and request.arguments):
            return decision
        judge = partial(
            judged_arguments, server=server, era=era, reads=reads, fitting=self._fitting
        )
        if takes_long(decision.arguments):
            owner = (request.caller.host, request.caller.subject)
            return await self._background.run(owner, judge, decision, request)
        return judge(decision, request)

    async def visible(self, call: Call, listing: Listing, names: list[str]) -> list[bool]:
        """Say for each item of a list whether this caller may see it, as it may be used."""
        server, kind = call.server, listing.kind
        host = self._hosts.get(call.caller.host)  # as it is now: the server took its time
        if host is not None and host.policies.lists_everything:
            tools = (server.tools.get(name) for name in names)
            return [kind != "tool" or (tool is not None and tool.enabled) for tool in tools]
        if kind == "resource" and server.resources:  # each is asked of the relations for itself
            return [
                (await self.decide(call, kind, name, listing.used_by, "list")).allow
                for name in names
            ]
        request = call.request(kind, "", listing.used_by, "list")
        facts = await self._sources.gather(
            request, call.session, client=call.client, tool=_NEVER, device=_device(call)
        )
        items = tuple((name, self._tool_facts(server, kind, name, Level.LOW)) for name in names)
        allowed = await self._pdp.allows_each(request, facts, items)
        if kind != "resource":
            return list(allowed)
        reads, template = self._pdp.reads(call.caller.host), call.message.method in _OF_TEMPLATES
        return [
            allows and not uri_fault(name, server=server, reads=reads, template=template)
            for allows, name in zip(allowed, names, strict=True)
        ]

    def _tool_facts(self, server: Server, kind: str, name: str, level: Level) -> ToolFacts:
        """Describe what is asked for; only a tool has a level of its own."""
        withheld = self._unkept.withholds(server, kind, name)
        if kind != "tool":
            state = server.review_state(kind, name)
            facts = _AS_REVIEWED[CHANGED if withheld and state == PINNED else state]
            return facts if level is Level.LOW else replace(facts, level=level)
        tool = server.tools.get(name)
        if tool is None:
            return _NEVER
        facts = self._tool(tool)
        return replace(facts, state="changed") if withheld and tool.state != NEW else facts

    def obliges(self, call: Call) -> bool:
        """Say whether the host's rules may oblige to anything at all."""
        return self._pdp.obliges(call.caller.host)

    async def still(self, call: Call) -> Decision:
        """Decide again, for a stream that is open: on the session as it is now."""
        session = await self._sessions.get(call.caller.host, call.caller.session)
        if session is None:  # nothing is left of it, so it has ended
            session = replace(call.session, ended_at=call.session.opened_at)
        return await self.decide(replace(call, session=session), phase="stream")


def refuse(decision: Decision) -> None:
    """Let an allowed call pass.

    Raises:
        Denied: For anything else. 403 is kept for the one case where consenting again helps.
    """
    if decision.allow:
        return
    code = _CODES.get(decision.reason, Code.FORBIDDEN)
    raise Denied(Code.INSUFFICIENT_LEVEL if decision.step_up else code, decision)


def _device(call: Call) -> Device:
    software = call.message.meta.get(META_CLIENT)
    named = software if isinstance(software, dict) else {}
    return Device(
        call.exchange.ip,
        (call.exchange.headers.text(b"user-agent") or "")[:_LONGEST],
        f"{named.get('name', '')} {named.get('version', '')}".strip()[:_LONGEST],
        call.revision.version,
    )


def _bound(server: Server, request: AccessRequest) -> list[Question]:
    """Return what the server's bindings ask about this request; a list names no arguments."""
    if request.resource.kind == "resource":
        return asked_of_uri(server.resources, request.resource.name)
    tool = server.tools.get(request.resource.name) if request.resource.kind == "tool" else None
    if tool is None or not tool.bindings or request.phase == "list":
        return []
    return asked_of_arguments(tool.bindings, request.arguments)


def _described(tool: Tool) -> ToolFacts:
    return ToolFacts(
        known=True,
        enabled=tool.enabled,
        state=_AS_REVIEWED[tool.state].state,
        level=tool.level,
    )
