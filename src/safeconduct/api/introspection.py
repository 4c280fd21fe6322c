"""Token introspection (RFC 7662), without any HTTP: what a token is good for, decided anew.

A token is active where its own session is let in by the decision a call would get at that
moment: about the tool that is named, or about the server itself, as when tokens are issued.
Everything else is inactive, and why is for the record alone (RFC 7662 section 2.2).
"""

from __future__ import annotations

from typing import Any

import msgspec

from safeconduct.api.judging import SERVER, STANDING, Judge, Judged
from safeconduct.api.questions import JSON, Entity, Question, intent_in, named
from safeconduct.api.records import Asking, Checks
from safeconduct.api.refusals import bad
from safeconduct.core.canonical import StrictJSONError, parse
from safeconduct.core.clock import Clock
from safeconduct.core.decision import Decision
from safeconduct.core.model import Level, Value
from safeconduct.hosts import Host
from safeconduct.oauth import Access, Verifier, asked, granted
from safeconduct.sessions import Session, Sessions

INACTIVE: JSON = {"active": False}
_DEVICE = ("ip", "user_agent", "software")
_HANDED_ON = ("arguments", "intent", *_DEVICE)


class Inquiry(Value, frozen=True):
    """What an enforcement point wants to know.

    Attributes:
        token: The handle, as it was presented there; never written down.
        scopes: Words that the token must have.
        resource: The audience it must be for, or None for any.
        context: The call it came with; `server`, `tool` and `method` are texts or left out.
    """

    token: str
    scopes: tuple[str, ...] = ()
    resource: str | None = None
    context: JSON = {}


class Introspection:
    """Answers about tokens."""

    def __init__(
        self, *, verifier: Verifier, sessions: Sessions, judge: Judge, checks: Checks, clock: Clock
    ) -> None:
        self._verifier = verifier
        self._sessions = sessions
        self._judge = judge
        self._checks = checks
        self._clock = clock

    async def answer(self, asking: Asking, inquiry: Inquiry) -> JSON:
        """Return what the token is good for; that is written down before.

        Raises:
            GatewayError: If there is no answer; then the token is good for nothing.
        """
        host = asking.host
        access = await self._verifier.find(host.key, inquiry.token)
        if access is None:
            judged = await self._judge.refused(host, _about(inquiry, None), "token.unknown")
        else:
            judged = await self._judged(host, inquiry, access)
        await self._checks.answered(asking, [judged])
        if access is None or not judged.decision.allow:
            return INACTIVE
        return _active(access, judged)

    async def _judged(self, host: Host, inquiry: Inquiry, access: Access) -> Judged:
        question = _about(inquiry, access)
        session = await self._sessions.get(host.key, access.session)
        if session is None or (reason := self._fallen(inquiry, access, session)):
            why = "session.ended" if session is None else reason
            judged = await self._judge.refused(host, question, why)
        else:
            judged = await self._judge.of_session(host, question, session)
            if judged.decision.allow:
                judged = await self._scoped(host, inquiry, access, session, judged)
        return judged._replace(
            session=access.session, server=access.server, token_id=access.token_id
        )

    async def _scoped(
        self, host: Host, inquiry: Inquiry, access: Access, session: Session, judged: Judged
    ) -> Judged:
        """Say the scope: of what the client was told and what counts now, what is asked for."""
        effective = judged.decision.effective_level
        assert effective is not None  # an allow without one is incoherent
        wanted = asked(" ".join(inquiry.scopes)) if inquiry.scopes else Level.HIGH
        most = min(asked(" ".join(access.scope)), effective, wanted)
        words = granted(await self._judge.reach(host, judged, session, most))
        if not set(inquiry.scopes) <= set(words):
            return judged._replace(decision=_short(judged.decision))
        return judged._replace(scope=" ".join(words))

    def _fallen(self, inquiry: Inquiry, access: Access, session: Session) -> str:
        """Say why a token is good for nothing whatever the rules say, or "".

        Whether its session lives is the rules' to say, as for every call.
        """
        if access.expires_at <= self._clock.seconds():
            return "token.expired"
        if session.server != access.server:
            return "session.ended"
        if inquiry.resource not in {None, access.resource}:
            return "audience.other"
        if inquiry.context.get("server") not in {None, access.server}:
            return "server.other"
        return ""


def read_inquiry(form: dict[str, str]) -> Inquiry:
    """Read what is asked; parameters nobody knows are ignored, and so is the hint.

    Raises:
        Refused: If the token is missing, or the context is no object of the right texts.
    """
    if "token" not in form:
        raise bad("token is missing.")
    return Inquiry(
        token=form["token"],
        scopes=tuple(form.get("scope", "").split()),
        resource=form.get("resource"),
        context=_context(form["context"]) if "context" in form else {},
    )


def _context(text: str) -> JSON:
    try:
        said = parse(text.encode())
    except StrictJSONError as error:
        raise bad(f"context cannot be read: {error}.") from error
    if not isinstance(said, dict):
        raise bad("context is not a JSON object.")
    texts = {name: named(said, name) for name in ("server", "tool", "method", *_DEVICE)}
    context: JSON = {name: text for name, text in texts.items() if text}
    if "arguments" in said:
        if not isinstance(said["arguments"], dict):
            raise bad("context.arguments must be an object.")
        context["arguments"] = said["arguments"]
    if intent_in(said) is not None:
        context["intent"] = said["intent"]
    return context


def _about(inquiry: Inquiry, access: Access | None) -> Question:
    """Ask what the call would ask; whose it is says the token, and nothing in the context."""
    said, tool = inquiry.context, inquiry.context.get("tool", "")
    server = said.get("server", "" if access is None else access.server)
    context: dict[str, Any] = {name: said[name] for name in _HANDED_ON if name in said}
    if access is None:
        subject = Entity(type="token", id="")
    else:
        subject = Entity(type="person", id=access.subject)
        context["agent"] = access.client
    return Question(
        subject=subject,
        action=said.get("method", "tools/call" if tool else STANDING),
        resource=Entity(type="tool" if tool else SERVER, id=f"{server}/{tool}" if tool else server),
        context=context,
    )


def _short(decision: Decision) -> Decision:
    """Return the denial for want of scope; not the rules' own, so not on their facts."""
    return Decision(
        id=decision.id,
        allow=False,
        reason="scope.insufficient",
        message="",
        bundle=decision.bundle,
        required_level=decision.required_level,
        effective_level=decision.effective_level,
    )


def _active(access: Access, judged: Judged) -> JSON:
    return {
        "active": True,
        "sub": access.subject,
        "client_id": access.client,
        "scope": judged.scope,
        "aud": access.resource,
        "exp": int(access.expires_at),  # whole seconds, and never later than it is
        "token_type": "Bearer",
        "obligations": msgspec.to_builtins(judged.decision.obligations),
        "decision_id": judged.decision.id,
    }
