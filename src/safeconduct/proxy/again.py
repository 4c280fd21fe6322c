"""Steps 1 to 5 of the road once more, for a call that was held: it is judged as if it came now.

What it says was judged to be one strict message, and that has not changed. Everything else may
have: the token, the session, the agent, the server's tools, the rules.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from safeconduct.core.decision import Decision
from safeconduct.proxy import subscriptions
from safeconduct.proxy.calls import Call
from safeconduct.proxy.deciding import Decider, refuse
from safeconduct.proxy.gate import Gate
from safeconduct.proxy.records import Records
from safeconduct.upstreams import CHANGED, Server


class Again:
    """Decides held calls anew."""

    def __init__(
        self,
        *,
        gate: Gate,
        decider: Decider,
        records: Records,
        catch_up: Callable[[], Awaitable[None]],
    ) -> None:
        """Take the collaborators.

        Args:
            catch_up: Returns when this process knows of every change, as at the door.
        """
        self._gate = gate
        self._decider = decider
        self._records = records
        self._catch_up = catch_up

    async def decide(self, call: Call) -> tuple[Call, Decision]:
        """Return the call with what it is about by now, and the decision on it.

        Raises:
            GatewayError: If the caller would not be let in now, or the call not be allowed.
        """
        await self._catch_up()
        before = call.server
        call = call.renewed(await self._gate.admit(call.exchange))
        call = replace(call, server=_as_asked(before, call.server, call))
        decision = await self._decider.decide(call)
        decision = await subscriptions.decide(self._decider, call, decision)
        await self._records.resumed(call, decision)
        refuse(decision)
        return replace(call, decision=decision), decision


def _as_asked(before: Server, now: Server, call: Call) -> Server:
    """Return a server as it is, but that what is no longer what was asked for counts as changed."""
    kind, name = call.row.kind, call.message.name
    if now.offers_as(before, kind, name):
        return now
    if kind == "tool" and name in now.tools:
        return replace(now, tools={**now.tools, name: replace(now.tools[name], state=CHANGED)})
    if kind == "prompt" and name in now.prompts:
        changed = replace(now.prompts[name], state=CHANGED)
        return replace(now, prompts={**now.prompts, name: changed})
    return now
