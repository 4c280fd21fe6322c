"""An agent: the MCP SDK's own client with its own OAuth, and a person to ask.

Nothing here knows the gateway. Where a desktop client opens a browser, this one hands the
address to a person and gets back where the browser ended up.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from pydantic import AnyUrl

_REDIRECT = "http://127.0.0.1:1/callback"  # nobody listens: the browser is the person's
_SECONDS = 60

# Takes the address to open; returns the address the browser was sent back to.
Ask = Callable[[str], Awaitable[str]]


class TurnedAway(Exception):
    """The person, or the gateway, said no."""


class Memory:
    """What an agent keeps between calls (the SDK's `TokenStorage`)."""

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
    """A client of one MCP endpoint."""

    def __init__(self, name: str, url: str, *, ask: Ask) -> None:
        self._name = name
        self._url = url
        self._ask = ask
        self._came_back = ""
        self.memory = Memory()
        self.asked = 0

    @property
    def bearer(self) -> str:
        """The access token it holds, or ""."""
        return self.memory.tokens.access_token if self.memory.tokens else ""

    @contextlib.asynccontextmanager
    async def connected(self, era: str) -> AsyncIterator[Client]:
        """Connect, asking the person if need be.

        Args:
            era: A modern protocol version, `legacy`, or `auto`.
        """
        provider = OAuthClientProvider(
            server_url=self._url,
            client_metadata=OAuthClientMetadata(
                client_name=self._name,
                redirect_uris=[AnyUrl(_REDIRECT)],
                grant_types=["authorization_code", "refresh_token"],
                response_types=["code"],
                token_endpoint_auth_method="none",  # noqa: S106  a method's name, no password
            ),
            storage=self.memory,
            redirect_handler=self._open,
            callback_handler=self._callback,
        )
        async with (
            httpx2.AsyncClient(auth=provider, timeout=_SECONDS) as http,
            Client(streamable_http_client(self._url, http_client=http), mode=era) as client,
        ):
            yield client

    async def _open(self, url: str) -> None:
        self.asked += 1
        self._came_back = await self._ask(url)

    async def _callback(self) -> AuthorizationCodeResult:
        told = parse_qs(urlsplit(self._came_back).query)
        if "code" not in told:
            raise TurnedAway(told.get("error", ["no answer"])[0])
        return AuthorizationCodeResult(
            code=told["code"][0],
            state=told.get("state", [None])[0],
            iss=told.get("iss", [None])[0],
        )
