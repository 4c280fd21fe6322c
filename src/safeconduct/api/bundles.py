"""What decides for a host, for enforcement points that decide by themselves: OPA's bundle service.

They ask again and again, each time with the name of what they have (RFC 9110 section 13.1.2),
and get the archive when something else decides by now. Nobody else is told anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from safeconduct.api.callers import point_of
from safeconduct.api.http import host_of
from safeconduct.api.refusals import refusal
from safeconduct.core.errors import Code, GatewayError, Refused
from safeconduct.core.model import HostId
from safeconduct.hosts import Host
from safeconduct.policy import Bundle, BundleError, packed

PATH = "/policy/bundle.tar.gz"


class BundleEndpoint:
    """Hands out what decides now."""

    def __init__(self, current: Callable[[Host], Bundle]) -> None:
        """Take what is needed.

        Args:
            current: Returns what decides for a host; LookupError when that is missing or altered.
        """
        self._current = current
        self._packed: dict[HostId, tuple[str, bytes]] = {}

    def routes(self) -> list[Route]:
        return [Route(PATH, self.get, methods=["GET"])]

    async def get(self, request: Request) -> Response:
        host = host_of(request)
        try:
            point_of(host, request.headers)
            bundle = self._bundle(host)
            tag = f'"{bundle.digest}"'
            headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
            if _has(request.headers.getlist("if-none-match"), tag):
                return Response(status_code=304, headers=headers)
            body = await self._archive(host, bundle)
        except GatewayError as error:
            return refusal(error, host)
        headers["X-Content-Type-Options"] = "nosniff"
        return Response(body, media_type="application/gzip", headers=headers)

    def _bundle(self, host: Host) -> Bundle:
        try:
            return self._current(host)
        except LookupError:
            raise Refused(
                Code.UNAVAILABLE, "The rules of this host are missing or were altered."
            ) from None

    async def _archive(self, host: Host, bundle: Bundle) -> bytes:
        held = self._packed.get(host.key)
        if held is not None and held[0] == bundle.digest:
            return held[1]
        try:
            made = await asyncio.to_thread(packed, bundle)
        except BundleError as error:
            raise Refused(
                Code.UNAVAILABLE, f"The rules of this host cannot be told to OPA: {error.public}."
            ) from error
        self._packed[host.key] = bundle.digest, made
        return made


def _has(sent: list[str], tag: str) -> bool:
    """Tell whether `If-None-Match` names this; weak names count (RFC 9110 section 8.8.3.2)."""
    named = {each.strip().removeprefix("W/") for line in sent for each in line.split(",")}
    return tag in named or "*" in named
