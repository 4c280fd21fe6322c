"""A server that answers with a redirect: an error which says so, and to operators where it points.

Redirects are not followed: nobody judged what is behind one, and a call would go there with what
was meant for the server. The address is the operator's business, so it stands in the log alone.
"""

from __future__ import annotations

import logging

from safeconduct.egress import Reply, UpstreamFailed
from safeconduct.proxy.calls import Call

_MOST_NOTED = 1000
_log = logging.getLogger(__name__)


class Redirects:
    """Refuses them; the log hears of each server and target once."""

    def __init__(self) -> None:
        self._noted: dict[tuple[str, str, str], None] = {}

    def check(self, call: Call, reply: Reply) -> None:
        """Let everything pass but a redirect.

        Raises:
            UpstreamFailed: Saying to a caller whom to ask.
        """
        where = reply.points_to
        if where is None:
            return
        self._note(call, reply.status, where)
        raise UpstreamFailed(
            f"{call.server.name} answered with HTTP {reply.status}, a redirect, and none is "
            "followed. Ask an admin of this host to set its url to where it has moved; the log "
            "names that.",
            sent=True,
        )

    def _note(self, call: Call, status: int, where: str) -> None:
        about = call.caller.host, call.server.key, where
        if about in self._noted:
            return
        if len(self._noted) >= _MOST_NOTED:
            del self._noted[next(iter(self._noted))]
        self._noted[about] = None
        _log.warning(
            "Server %s of host %s answers with HTTP %d and points to %s. Redirects are not "
            "followed: set its url to that, if it is right.",
            call.server.key,
            call.caller.host,
            status,
            where,
        )
