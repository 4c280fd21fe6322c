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
        call = call.renewed(await self._gate.admit(call.exchange))
        decision = await self._decider.decide(call)
        decision = await subscriptions.decide(self._decider, call, decision)
        await self._records.resumed(call, decision)
        refuse(decision)
        return replace(call, decision=decision), decision
