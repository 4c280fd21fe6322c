"""Step 2 of the road: an admitted exchange becomes a call, or is refused, or is dropped."""

from __future__ import annotations

import contextlib
import functools
from typing import NamedTuple

from safeconduct.core.decision import Decision
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import AccessRequest, Caller, Phase, Resource
from safeconduct.policy import ClientFacts
from safeconduct.proxy import eras
from safeconduct.proxy.eras import Headers, Revision, UnsupportedVersion
from safeconduct.proxy.exchange import Exchange
from safeconduct.proxy.gate import Admitted
from safeconduct.proxy.messages import (
    LEGACY,
    METHODS,
    MODERN,
    NOTIFICATIONS,
    BadParams,
    Era,
    Message,
    MessageId,
    Method,
    read,
)
from safeconduct.proxy.transport_sessions import TransportSessions
from safeconduct.sessions import Session
from safeconduct.upstreams import Server

_PLAIN = Method()
_OLDER = Method(eras=(LEGACY,))
_VERBS = {"POST": "", "GET": "stream/open", "DELETE": "session/end"}
_EVENTS, _JSON = "text/event-stream", "application/json"


class Call(NamedTuple):
    """Everything the later steps need to know.

    Attributes:
        row: What the method is aimed at.
        upstream_session: The server's own transport session, older era only.
        decision: What was decided about it; None until then.
    """

    exchange: Exchange
    caller: Caller
    session: Session
    client: ClientFacts
    server: Server
    message: Message
    row: Method
    revision: Revision
    upstream_session: str | None
    decision: Decision | None = None

    def request(self, kind: str, name: str, action: str, phase: Phase) -> AccessRequest:
        """Put the question whether this caller may do this to an item of the server."""
        return AccessRequest(
            caller=self.caller,
            action=action,
            resource=Resource(kind=kind, server=self.server.key, name=name),
            arguments=None if phase == "list" else self.message.arguments,
            phase=phase,
        )


class Progress:
    """How far a message got; a refusal is spelled in the era and under the id it has."""

    era: Era | None = None
    message_id: MessageId | None = None


def parse(
    exchange: Exchange, admitted: Admitted, transports: TransportSessions, progress: Progress
) -> Call | None:
    """Return the call, or None for a notification nobody needs to hear.

    Raises:
        Refused: If it is not exactly one message we know, said the same way in headers and
            body, in a revision its server speaks.
    """
    exchange.headers.check_single()
    revision = _revision(exchange, admitted.server, progress)
    progress.era = revision.era
    _check_form(exchange, revision)
    message = _message(exchange, revision, progress)
    progress.message_id = message.id
    eras.check(revision, exchange.headers, message)
    row = _row(message, revision) if exchange.verb == "POST" else _OLDER
    if row is None:
        return None
    _check_spoken(admitted.server, message, revision)
    if row.kind == "tool" and revision.era == MODERN:
        tool = admitted.server.tools.get(message.name)
        eras.check_params(tool.header_params if tool else (), exchange.headers, message)
    return Call(
        exchange=exchange,
        caller=admitted.caller,
        session=admitted.session,
        client=admitted.client,
        server=admitted.server,
        message=message,
        row=row,
        revision=revision,
        upstream_session=_upstream_session(exchange, admitted, message, revision, transports),
    )


def _message(exchange: Exchange, revision: Revision, progress: Progress) -> Message:
    if exchange.verb != "POST":
        return _standing(exchange)
    try:
        return read(exchange.body, revision.era)
    except BadParams as error:
        progress.message_id = error.message_id
        raise


def _revision(exchange: Exchange, server: Server, progress: Progress) -> Revision:
    """Return the claimed revision; a refusal names those of this server, under the request's id."""
    try:
        return eras.revision_of(exchange.headers)
    except UnsupportedVersion as error:
        with contextlib.suppress(Refused):  # what cannot be read has no id to answer under
            progress.message_id = read(exchange.body).id
        raise UnsupportedVersion(error.requested, _best_versions(server)) from error


def _best_versions(server: Server) -> tuple[str, ...]:
    """Return what `server/discover` would say, or what `initialize` offers where it is all."""
    if not server.eras:
        return eras.VERSIONS
    return eras.MODERN_VERSIONS if MODERN in server.eras else eras.LEGACY_VERSIONS


def _check_form(exchange: Exchange, revision: Revision) -> None:
    if exchange.verb not in _VERBS or (exchange.verb != "POST" and revision.era == MODERN):
        raise Refused(Code.METHOD_NOT_ALLOWED, "This address takes POST in this revision.")
    if exchange.verb == "POST":
        _check_content(exchange.headers)
        _check_accept(exchange.headers, (_JSON, _EVENTS))
    elif exchange.verb == "GET":
        _check_accept(exchange.headers, (_EVENTS,))


def _check_content(headers: Headers) -> None:
    if not _is_json(headers.get(b"content-type") or b""):
        raise Refused(Code.UNSUPPORTED_MEDIA, "Send application/json in UTF-8.")
    if (headers.text(b"content-encoding") or "identity").lower() != "identity":
        raise Refused(Code.UNSUPPORTED_MEDIA, "Send the body without a content encoding.")
    if (headers.text(b"transfer-encoding") or "chunked").lower() != "chunked":
        raise Refused(Code.UNSUPPORTED_MEDIA, "Send the body in chunks, or with its length.")


@functools.lru_cache(maxsize=256)  # clients send one of a handful of values, always
def _is_json(content_type: bytes) -> bool:
    media, _, rest = content_type.decode("latin-1").partition(";")
    charset = rest.strip().lower().removeprefix("charset=").strip('"')
    return media.strip().lower() == _JSON and charset in {"", "utf-8", "utf8"}


def _check_accept(headers: Headers, needed: tuple[str, ...]) -> None:
    missing = _not_accepted(headers.get(b"accept") or b"*/*", needed)
    if missing:
        raise Refused(Code.NOT_ACCEPTABLE, f"The Accept header must list {missing}.")


@functools.lru_cache(maxsize=256)  # as above
def _not_accepted(accept: bytes, needed: tuple[str, ...]) -> str:
    """Return the first media type an Accept header does not list, or "" when it has all."""
    accepted = accept.decode("latin-1").lower()
    if "*/*" in accepted:
        return ""
    return next((media for media in needed if media not in accepted), "")


def _standing(exchange: Exchange) -> Message:
    """Describe a GET or DELETE as a message: it asks for the stream, or ends the session."""
    return Message(
        form="notification", id=None, method=_VERBS[exchange.verb], params={}, name="", raw=b""
    )


def _row(message: Message, revision: Revision) -> Method | None:
    if message.form == "response":
        return _OLDER
    if message.form == "notification":
        known = revision.era in NOTIFICATIONS.get(message.method, ())
        return _PLAIN if known else None
    row = METHODS.get(message.method)
    if row is None or revision.era not in row.eras:
        raise Refused(Code.UNKNOWN_METHOD, f"Method not found: {message.method[:100]}")
    return row


def _check_spoken(server: Server, message: Message, revision: Revision) -> None:
    """Refuse an era the server does not speak so that the client falls back to the other."""
    if not server.eras or revision.era in server.eras:
        return
    asked = message.params.get("protocolVersion")
    requested = asked if isinstance(asked, str) else revision.version
    other = eras.MODERN_VERSIONS if revision.era == LEGACY else eras.LEGACY_VERSIONS
    raise UnsupportedVersion(requested, other)


def _upstream_session(
    exchange: Exchange,
    admitted: Admitted,
    message: Message,
    revision: Revision,
    transports: TransportSessions,
) -> str | None:
    presented = exchange.headers.text(b"mcp-session-id")
    if presented is None or revision.era == MODERN or message.method == "initialize":
        return None
    return transports.open(presented, admitted.caller)
