"""The one stylesheet: four sheets joined, named by its digest, cached for ever."""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_SHEETS = ("tokens", "base", "parts", "pages")
_DIRECTORY = Path(__file__).parent / "assets"


class Stylesheet:
    """Reads the sheets once and serves them joined."""

    def __init__(self) -> None:
        self._body = b"\n".join((_DIRECTORY / f"{name}.css").read_bytes() for name in _SHEETS)
        name = hashlib.sha256(self._body).hexdigest()[:12]
        self.path = f"/assets/safeconduct.{name}.css"

    def routes(self) -> list[Route]:
        return [Route(self.path, self.get, methods=["GET"])]

    async def get(self, _request: Request) -> Response:
        return Response(
            self._body,
            media_type="text/css",
            headers={
                "Cache-Control": "public, max-age=31536000, immutable",
                "X-Content-Type-Options": "nosniff",
            },
        )
