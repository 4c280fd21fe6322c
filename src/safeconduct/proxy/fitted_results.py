"""Step 8 of the road: structured results, held against the schema their tool was reviewed with.

Only of tools that promise one, and up to a size. What does not fit is on record; where the server's
admin wants it, it is withheld, with a sentence that says that the call took effect.
"""

from __future__ import annotations

from typing import NamedTuple

from safeconduct.core.canonical import StrictJSONError, parse
from safeconduct.proxy import refusals
from safeconduct.proxy.calls import Call
from safeconduct.proxy.fitting import MOST_RESULT_BYTES, Fitting, Unfit
from safeconduct.proxy.results import Reading, members

WITHHELD = "result_withheld"  # the outcome of such a call


class Misfit(NamedTuple):
    """What does not fit, and what goes to the caller instead; None for what came."""

    problem: str
    instead: bytes | None


class FittedResults:
    """Judges the results of calls."""

    def __init__(self, fitting: Fitting) -> None:
        self._fitting = fitting

    def misfit(self, call: Call, raw: bytes, reading: Reading) -> Misfit | None:
        """Return what of an answer does not fit, or None if everything does."""
        if call.row.kind != "tool" or reading.outcome != "ok" or len(raw) > MOST_RESULT_BYTES:
            return None
        server, era = call.server, call.revision.era
        tool = server.tools.get(call.message.name)
        if tool is None or not self._fitting.results_matter(server, tool, era):
            return None
        said = members(members(raw)["result"]).get("structuredContent")
        strict = server.results == "refuse"
        try:
            unfit = (
                Unfit("structuredContent is missing", refuses=strict)
                if said is None
                else self._fitting.result(server, tool, parse(bytes(said)), era=era)
            )
        except StrictJSONError as error:
            unfit = Unfit(f"structuredContent cannot be read: {error}", refuses=strict)
        return None if unfit is None else Misfit(unfit.problem, _instead(call, unfit))


def _instead(call: Call, unfit: Unfit) -> bytes | None:
    if not unfit.refuses:
        return None
    sentence = (
        f"{call.server.name} carried the call out, and it took effect; do not repeat it to get a "
        f"result. The result does not fit the schema of {call.message.name} and was withheld: "
        f"{unfit.problem}. Ask an admin of this host."
    )
    return refusals.tool_error(sentence, era=call.revision.era, message_id=call.message.id)
