"""An agent on the Python SDK, signing in by the SDK's own OAuth client."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.gateway import Site

CALLBACK = "http://127.0.0.1:3917/callback"


class Memory:
    """What an agent remembers between its starts."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Agent:
    """One agent of one person on one server.

    Attributes:
        levels: What the person allows at each visit, the last one from then on.
        visits: The links it had the person follow.
    """

    def __init__(
        self,
        site: Site,
        server: str,
        *,
        levels: tuple[str, ...],
        who: str = "alice",
        name: str = "Test agent",
    ) -> None:
        self.name = name
        self.site = site
        self.server = server
        self.memory = Memory()
        self.visits: list[str] = []
        self._levels = levels
        self._who = who
        self._landed = ""

    @asynccontextmanager
    async def connected(self, mode: str, **callbacks: Any) -> AsyncIterator[Client]:
        url = self.site.url(self.server)
        auth = OAuthClientProvider(
            url,
            OAuthClientMetadata(
                client_name=self.name,
                redirect_uris=[AnyUrl(CALLBACK)],
                grant_types=["authorization_code", "refresh_token"],
                response_types=["code"],
            ),
            self.memory,
            redirect_handler=self._visit,
            callback_handler=self._come_back,
        )
        async with (
            httpx2.AsyncClient(auth=auth, timeout=30) as http,
            Client(streamable_http_client(url, http_client=http), mode=mode, **callbacks) as client,
        ):
            yield client

    async def _visit(self, url: str) -> None:
        level = self._levels[min(len(self.visits), len(self._levels) - 1)]
        self.visits.append(url)
        self._landed = await self.site.allow(url, server=self.server, level=level, who=self._who)

    async def _come_back(self) -> AuthorizationCodeResult:
        told = {name: values[0] for name, values in parse_qs(urlsplit(self._landed).query).items()}
        return AuthorizationCodeResult(code=told["code"], state=told["state"], iss=told["iss"])
