"""Step 2 of the road: an admitted exchange becomes a call, or is refused, or is dropped."""

from __future__ import annotations

import contextlib
import functools

from msgspec.structs import replace

from safeconduct.core.decision import Decision
from safeconduct.core.errors import Code, Refused
from safeconduct.core.headers import media_of
from safeconduct.core.model import AccessRequest, Caller, Phase, Resource, Value
from safeconduct.policy import ClientFacts
from safeconduct.proxy import eras
from safeconduct.proxy.eras import Headers, Revision, UnsupportedVersion
from safeconduct.proxy.event_ids import EventIds
from safeconduct.proxy.exchange import Exchange
from safeconduct.proxy.gate import Admitted
from safeconduct.proxy.messages import (
    LEGACY,
    MODERN,
    BadParams,
    Era,
    Message,
    MessageId,
    Method,
    read,
    standing,
)
from safeconduct.proxy.transport_sessions import TransportSessions
from safeconduct.sessions import Session
from safeconduct.upstreams import (
    LEGACY_VERSIONS,
    MODERN_VERSIONS,
    VERSIONS,
    HeaderParam,
    Server,
)

_VERBS = {"POST": "", "GET": "stream/open", "DELETE": "session/end"}
_EVENTS, _JSON = "text/event-stream", "application/json"


class Call(Value, frozen=True):
    """Everything the later steps need to know.

    Attributes:
        row: What the method is aimed at.
        upstream_session: The server's own transport session, older era only.
        resumes_after: The server's own id of the event after which a stream is taken up again.
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
    resumes_after: bytes | None = None
    decision: Decision | None = None

    def renewed(self, admitted: Admitted) -> Call:
        """Return the same call of a sender who was let in once more."""
        return replace(
            self,
            caller=admitted.caller,
            session=admitted.session,
            client=admitted.client,
            server=admitted.server,
        )

    def request(self, kind: str, name: str, action: str, phase: Phase) -> AccessRequest:
        """Put the question whether this caller may do this to an item of the server."""
        return AccessRequest(
            caller=self.caller,
            action=action,
            resource=Resource(kind=kind, server=self.server.key, name=name),
            arguments=None if phase == "list" else self.message.arguments,
            phase=phase,
            intent=self.message.intent,
        )


class Progress:
    """How far a message got; a refusal is spelled in the era and under the id it has."""

    era: Era | None = None
    message_id: MessageId | None = None


def parse(
    exchange: Exchange,
    admitted: Admitted,
    transports: TransportSessions,
    event_ids: EventIds,
    progress: Progress,
) -> Call | None:
    """Return the call, or None for a notification nobody needs to hear.

    Raises:
        Refused: If it is not exactly one message we know, said the same way in headers and
            body, in a revision its server speaks.
    """
    headers, server = exchange.headers, admitted.server
    revision = headers.fit.get(exchange.verb) or _fit(exchange, server, progress)
    progress.era = revision.era
    message = _message(exchange, revision, progress)
    progress.message_id = message.id
    eras.check(revision, headers, message)
    if message.row is None:
        if message.form == "request":
            raise Refused(Code.UNKNOWN_METHOD, f"Method not found: {message.method[:100]}")
        return None
    if server.eras and revision.era not in server.eras:
        raise _unspoken(message, revision)
    mirrored = mirrored_by(server, message)
    modern = revision.era == MODERN
    if headers.params or (mirrored and modern):
        eras.check_params(mirrored, headers, message, required=modern)
    upstream_session = resumes_after = None
    if not modern:
        upstream_session = _upstream_session(headers, message, admitted.caller, transports)
        if exchange.verb == "GET" and (last := headers.text(b"last-event-id")) is not None:
            resumes_after = event_ids.open(last, admitted.caller, upstream_session)
    return Call(
        exchange=exchange,
        caller=admitted.caller,
        session=admitted.session,
        client=admitted.client,
        server=server,
        message=message,
        row=message.row,
        revision=revision,
        upstream_session=upstream_session,
        resumes_after=resumes_after,
    )


def mirrored_by(server: Server, message: Message) -> tuple[HeaderParam, ...]:
    """Return the arguments of a message that stand in headers too."""
    if message.row is None or message.row.kind != "tool":
        return ()
    tool = server.tools.get(message.name)
    return () if tool is None else tool.header_params


def _fit(exchange: Exchange, server: Server, progress: Progress) -> Revision:
    """Return the revision of a head that is fit; this is kept, for it is true of the head alone.

    Raises:
        Refused: If it can be read in two ways, or asks for what is not given.
    """
    exchange.headers.check_single()
    revision = _revision(exchange, server, progress)
    progress.era = revision.era
    _check_form(exchange, revision)
    exchange.headers.fit[exchange.verb] = revision
    return revision


def _message(exchange: Exchange, revision: Revision, progress: Progress) -> Message:
    if exchange.verb != "POST":
        return standing(_VERBS[exchange.verb])
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
        return VERSIONS
    return MODERN_VERSIONS if MODERN in server.eras else LEGACY_VERSIONS


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
    if (headers.get(b"content-encoding") or b"identity").lower() != b"identity":
        raise Refused(Code.UNSUPPORTED_MEDIA, "Send the body without a content encoding.")
    if (headers.get(b"transfer-encoding") or b"chunked").lower() != b"chunked":
        raise Refused(Code.UNSUPPORTED_MEDIA, "Send the body in chunks, or with its length.")


@functools.lru_cache(maxsize=256)  # clients send one of a handful of values, always
def _is_json(content_type: bytes) -> bool:
    media = media_of(content_type.decode("latin-1"))
    return media.type == _JSON and media.utf_8


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


def _unspoken(message: Message, revision: Revision) -> UnsupportedVersion:
    """Say that the server does not speak this era, so that the client falls back to the other."""
    asked = message.params.get("protocolVersion")
    requested = asked if isinstance(asked, str) else revision.version
    other = MODERN_VERSIONS if revision.era == LEGACY else LEGACY_VERSIONS
    return UnsupportedVersion(requested, other)


def _upstream_session(
    headers: Headers, message: Message, caller: Caller, transports: TransportSessions
) -> str | None:
    presented = headers.text(b"mcp-session-id")
    if presented is None or message.method == "initialize":
        return None
    return transports.open(presented, caller)
