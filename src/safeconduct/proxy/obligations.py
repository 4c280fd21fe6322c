"""Steps 6 and 8 of the road: what an allow obliges to, before the call and on its result.

What cannot be discharged refuses the call. On the way out, data that obligations reach is
reshaped, and what cannot be read as data, prose and pictures among it, is withheld: a rule that
hides a member of a result must not be undone by the same thing said in a sentence.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar, assert_never, get_args

import msgspec
from msgspec.structs import replace

from safeconduct.approvals import Approval
from safeconduct.consent import Consents
from safeconduct.core.binding import Question
from safeconduct.core.canonical import StrictJSONError, check_bounds, parse
from safeconduct.core.clock import Clock
from safeconduct.core.decision import (
    Decision,
    Filter,
    Mask,
    MaxItems,
    Notify,
    Obligation,
    Outgoing,
    Redact,
    RequireApproval,
    RequireConsent,
    Role,
    Throttle,
    Ttl,
)
from safeconduct.core.errors import Code
from safeconduct.core.model import Level
from safeconduct.egress import UpstreamFailed
from safeconduct.proxy.background import LARGE_BYTES, Background
from safeconduct.proxy.calls import Call
from safeconduct.proxy.messages import ENVELOPE
from safeconduct.proxy.refusals import Denied
from safeconduct.proxy.reshaping import Answers, Unfit, questions, reshaped
from safeconduct.proxy.throttling import Throttles

WITHHELD = (
    "A policy of this host lets only some of this result through, and this part cannot be told "
    "apart. It was withheld. Ask an admin of this host."
)
ROLES = get_args(Role)  # each may do what the ones before it may
_MEMBERS = ("content", "structuredContent", "contents", "messages")
_PIECES = ("messages", "contents", "content")
_KEPT = ("isError", "resultType", "requestState", "inputRequests")


P = ParamSpec("P")
T = TypeVar("T")


class _Task(NamedTuple):
    """An answer to be reshaped: for which call, how, and how many bytes it has."""

    call: Call
    duties: tuple[Outgoing, ...]
    size: int


class Permissions(Protocol):
    """Answers questions about relations on behalf of a call."""

    async def asked_by(self, call: Call, wanted: list[Question]) -> Answers:
        """Answer each question; what has no answer is a no."""


class Approvals(Protocol):
    """Holds calls until somebody has said yes."""

    async def wait(self, call: Call, decision: Decision, obligation: RequireApproval) -> Approval:
        """Return a yes to this very call, used up by it, as soon as there is one.

        Raises:
            Denied: If it was refused, or nobody answered in time.
        """

    def as_approved(self, call: Call, approval: Approval) -> Call:
        """Return a call as somebody said yes to it."""


class Obligations:
    """Discharges obligations."""

    def __init__(
        self,
        *,
        consents: Consents,
        approvals: Approvals,
        again: Callable[[Call], Awaitable[tuple[Call, Decision]]],
        permissions: Permissions,
        throttles: Throttles,
        notify: Callable[[Call, Decision, str], None],
        clock: Clock,
        background: Background,
    ) -> None:
        """Take the collaborators.

        Args:
            again: Decides a call that was held as things are now.
            notify: Told what somebody should hear of, before the call goes on.
        """
        self._again = again
        self._consents = consents
        self._approvals = approvals
        self._permissions = permissions
        self._throttles = throttles
        self._notify = notify
        self._clock = clock
        self._background = background

    async def enter(self, call: Call, decision: Decision) -> Call:
        """Discharge what has to be done before the call; returns it as it was decided last.

        What was held is decided again before it goes on: a yes to the call does not bring
        back a session or a consent that has ended meanwhile, nor undo a rule that has come.

        Raises:
            GatewayError: If something cannot be discharged; then nothing may be forwarded.
        """
        if not decision.obligations:
            return call
        await self._discharge(call, decision, decision.obligations)
        asked = strictest(decision)
        while asked is not None:  # last: nobody is asked about a call that is refused anyway
            approval = await self._approvals.wait(call, decision, asked)
            call = self._approvals.as_approved(call, approval)
            before = decision.obligations
            call, decision = await self._again(call)
            await self._discharge(call, decision, _due(decision, before))
            asked = strictest(decision)
            if asked is None or _suffices(approval, asked):
                break
        return call

    async def _discharge(
        self, call: Call, decision: Decision, obligations: Iterable[Obligation]
    ) -> None:
        for obligation in obligations:
            match obligation:
                case RequireConsent():
                    await self._check_consent(call, decision, obligation)
                case Throttle():
                    await self._throttles.take(call, obligation)
                case Notify():
                    self._notify(call, decision, obligation.about)
                case RequireApproval():
                    pass  # when everything else is discharged
                case Ttl() | Redact() | Mask() | Filter() | MaxItems():
                    pass  # on the way out
                case _:
                    assert_never(obligation)

    async def leave(self, call: Call, raw: bytes) -> bytes:
        """Return an answer as the obligations leave it; untouched if there are none.

        Raises:
            GatewayError: If the relations cannot be asked.
        """
        duties = outgoing(call.decision)
        if not duties or not call.row.pauses:
            return raw
        task = _Task(call, duties, len(raw))
        read: dict[str, Any] = await self._do(task, _read_bounded, raw)
        whole = {name: read[name] for name in ENVELOPE if name in read}  # and no look-alike
        result = whole.get("result")
        if not isinstance(result, dict):
            return _without_error_data(raw, whole)
        kept = {name: result[name] for name in _KEPT if name in result}
        shown = {name: result[name] for name in _MEMBERS if name in result}
        whole["result"] = kept | await self._shown(task, shown)
        return await self._do(task, msgspec.json.encode, whole)

    async def _shown(self, task: _Task, result: dict[str, Any]) -> dict[str, Any]:
        if "structuredContent" in result:
            try:
                data = await self._data(task, result["structuredContent"])
            except Unfit:
                return {"content": [_text(WITHHELD)]}
            # The text repeats the data (MCP, tools: structured content), so it is made anew.
            text = (await self._do(task, msgspec.json.encode, data)).decode()
            return {"content": [_text(text)], "structuredContent": data}
        if "messages" in result:
            messages = [await self._message(task, each) for each in _list(result)]
            return {"messages": messages}
        if "contents" in result:
            return {"contents": [await self._part(task, each) for each in _list(result)]}
        blocks = [await self._block(task, each) for each in _list(result)]
        return {"content": blocks}

    async def _part(self, task: _Task, part: Any) -> dict[str, Any]:
        """Return a part of a resource with its text reshaped, or a sentence in its place."""
        about = part if isinstance(part, dict) else {}
        kept = {name: about[name] for name in ("uri", "mimeType") if name in about}
        return kept | {"text": await self._reread(task, about.get("text"))}

    async def _message(self, task: _Task, message: Any) -> Any:
        if not isinstance(message, dict):
            return {"role": "user", "content": _text(WITHHELD)}
        block = await self._block(task, message.get("content"))
        return {"role": message.get("role", "user"), "content": block}

    async def _block(self, task: _Task, block: Any) -> dict[str, str]:
        """Return a piece of content with its text reshaped, or a sentence in its place."""
        about = block if isinstance(block, dict) else {}
        inner = about.get("resource") if about.get("type") == "resource" else about
        text = inner.get("text") if isinstance(inner, dict) else None
        return _text(await self._reread(task, text))

    async def _reread(self, task: _Task, text: Any) -> str:
        try:
            data = await self._do(task, parse, text.encode()) if isinstance(text, str) else None
            if not isinstance(data, dict | list):
                return WITHHELD
            shown = await self._data(task, data)
            return (await self._do(task, msgspec.json.encode, shown)).decode()
        except (StrictJSONError, UnicodeEncodeError, Unfit):
            return WITHHELD

    async def _data(self, task: _Task, data: Any) -> Any:
        wanted = await self._do(task, questions, data, task.duties)
        answers = await self._permissions.asked_by(task.call, wanted) if wanted else {}
        return await self._do(task, reshaped, data, task.duties, answers)

    async def _do(self, task: _Task, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a part of the work, beside the loop if the answer is large."""
        if task.size <= LARGE_BYTES:
            return work(*args, **kwargs)
        caller = task.call.caller
        return await self._background.run((caller.host, caller.subject), work, *args, **kwargs)

    async def _check_consent(
        self, call: Call, decision: Decision, obligation: RequireConsent
    ) -> None:
        caller = call.caller
        consent = await self._consents.get(
            caller.host, caller.subject, caller.client, call.server.key
        )
        needed = Level.parse(obligation.level) if obligation.level else decision.required_level
        since = self._clock.now() - timedelta(seconds=obligation.within_seconds)
        if (
            consent is not None
            and (needed is None or consent.level >= needed)
            and consent.granted_at > since
        ):
            return
        word = (needed or Level.LOW).word
        again = replace(
            decision,
            allow=False,
            reason="consent.again",
            step_up=True,
            required_level=needed,
            message=f"{call.message.name or call.server.name} needs the person's consent of the "
            f"last {_spoken(obligation.within_seconds)}, at level {word}. Ask the person to sign "
            "in again and consent.",
        )
        raise Denied(Code.INSUFFICIENT_LEVEL, again)


def strictest(decision: Decision) -> RequireApproval | None:
    """Return the one approval that discharges all a decision asks for, or None for none.

    A higher role's yes is a lower one's too, so the highest is asked, for the shortest time.
    """
    asked = [each for each in decision.obligations if isinstance(each, RequireApproval)]
    if not asked:
        return None
    return RequireApproval(
        role=max((each.role for each in asked), key=ROLES.index),
        within_seconds=min(each.within_seconds for each in asked),
    )


def _due(decision: Decision, before: tuple[Obligation, ...]) -> list[Obligation]:
    """Return what a second decision obliges to beyond the first; a consent may have aged."""
    return [
        each
        for each in decision.obligations
        if each not in before or isinstance(each, RequireConsent)
    ]


def _suffices(approval: Approval, asked: RequireApproval) -> bool:
    return ROLES.index(approval.role) >= ROLES.index(asked.role)


def outgoing(decision: Decision | None) -> tuple[Outgoing, ...]:
    """Return what has to be done to the result."""
    if decision is None or not decision.obligations:
        return ()
    return tuple(each for each in decision.obligations if isinstance(each, Outgoing))


def longest_seconds(decision: Decision | None) -> int | None:
    """Return how long a stream may last that comes of this decision, or None for no limit."""
    duties = () if decision is None else decision.obligations
    return min((each.seconds for each in duties if isinstance(each, Ttl)), default=None)


def quiet(call: Call, method: str) -> bool:
    """Say whether a server's own message is kept back, as it might tell what a result may not."""
    return bool(outgoing(call.decision)) and method == "notifications/message"


def _read_bounded(raw: bytes) -> Any:
    """Read an answer that is JSON-RPC.

    Raises:
        UpstreamFailed: If it has too many values; they would take many times its size.
    """
    try:
        check_bounds(raw)
    except StrictJSONError as error:
        public = f"A policy of this host looks at results, and {error}. The call was carried out."
        raise UpstreamFailed(public, sent=True) from error
    return msgspec.json.decode(raw)


def _without_error_data(raw: bytes, whole: dict[str, Any]) -> bytes:
    error = whole.get("error")
    if not isinstance(error, dict):
        return raw
    return msgspec.json.encode(whole | {"error": {"code": error.get("code"), "message": WITHHELD}})


def _list(result: dict[str, Any]) -> list[Any]:
    """Return the pieces of a result, whatever kind of result it is."""
    pieces = next((result[name] for name in _PIECES if name in result), None)
    return pieces if isinstance(pieces, list) else []


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _spoken(seconds: int) -> str:
    for unit, name in ((3600, "hour"), (60, "minute"), (1, "second")):
        if seconds % unit == 0:
            count = seconds // unit
            return f"{count} {name}{'' if count == 1 else 's'}"
    raise AssertionError("every number of seconds is a multiple of one")
