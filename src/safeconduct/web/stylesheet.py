"""The one stylesheet, four sheets joined and named by its digest, and the icon of our pages."""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_SHEETS = ("tokens", "base", "parts", "pages")
_DIRECTORY = Path(__file__).parent / "assets"


_ICON = "/favicon.ico"  # where browsers look unasked; what it is, its media type says


class Stylesheet:
    """Reads the sheets and the icon once and serves them."""

    def __init__(self) -> None:
        self._body = b"\n".join((_DIRECTORY / f"{name}.css").read_bytes() for name in _SHEETS)
        self._icon = (_DIRECTORY / "icon.svg").read_bytes()
        name = hashlib.sha256(self._body).hexdigest()[:12]
        self.path = f"/assets/safeconduct.{name}.css"

    def routes(self) -> list[Route]:
        return [
            Route(self.path, self.get, methods=["GET"]),
            Route(_ICON, self.icon, methods=["GET"]),
        ]

    async def get(self, _request: Request) -> Response:
        return Response(
            self._body,
            media_type="text/css",
            headers={
                "Cache-Control": "public, max-age=31536000, immutable",
                "X-Content-Type-Options": "nosniff",
            },
        )

    async def icon(self, _request: Request) -> Response:
        return Response(
            self._icon,
            media_type="image/svg+xml",
            headers={
                "Cache-Control": "public, max-age=86400",
                "Content-Security-Policy": "default-src 'none'",
                "X-Content-Type-Options": "nosniff",
            },
        )
