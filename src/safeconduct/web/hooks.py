"""The address a git server calls after a push. It carries no news, it only makes us look.

The path names no host: the origin does. What calls is known by GitHub's header: HMAC-SHA256 over
the body with a secret both know. A body is small (64 KiB); whatever cannot be said here is found
by the next look anyway.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from safeconduct.core.model import HostId
from safeconduct.core.secrets import Secret, same
from safeconduct.hosts import Host

_PATH = "/hooks/policy"
_SIGNATURE = "x-hub-signature-256"
_NEVER = Secret("")


class PolicyHook:
    """Hears that a policy repository may have a new commit."""

    def __init__(self, secrets: Mapping[HostId, Secret], pushed: Callable[[HostId], None]) -> None:
        """Take who may call.

        Args:
            secrets: The webhook's secret of each host that has one.
            pushed: Makes us look; cheap, and asking often changes nothing.
        """
        self._secrets = secrets
        self._pushed = pushed

    def routes(self) -> list[Route]:
        return [Route(_PATH, self.post, methods=["POST"])]

    async def post(self, request: Request) -> Response:
        host: Host = request.state.host
        secret = self._secrets.get(host.key, _NEVER)
        try:
            body = await request.body()
        except ClientDisconnect:
            return _said(400, "the body is not complete")
        key = secret.reveal().encode()
        expected = f"sha256={hmac.digest(key, body, hashlib.sha256).hex()}"
        given = request.headers.getlist(_SIGNATURE)
        valid = same(expected, given[0] if len(given) == 1 else "")
        # A host without a webhook answers like one that was given the wrong secret.
        if not valid or secret == _NEVER:
            return _said(401, "the signature is not valid")
        self._pushed(host.key)
        return _said(202, "will look")


def _said(status: int, text: str) -> Response:
    return Response(text + "\n", status, {"Cache-Control": "no-store"}, "text/plain")
