"""The authorization server's addresses: bytes in, one call, bytes out. Nothing is decided here.

Answers with tokens or registrations are never stored by anybody; discovery is for a minute.
Cross-origin reading is open to everybody (browser clients), and never with credentials.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from safeconduct.core.errors import Code, GatewayError
from safeconduct.core.headers import media_of
from safeconduct.core.model import ServerKey
from safeconduct.hosts import Host
from safeconduct.oauth import metadata, parameters, registration
from safeconduct.oauth.authentication import ClientAuthentication
from safeconduct.oauth.authorize import Asking
from safeconduct.oauth.parameters import NotParameters, Parameters
from safeconduct.oauth.refusals import OAuthRefused, Untrusted
from safeconduct.oauth.registration import Registrations
from safeconduct.oauth.registry import Client
from safeconduct.oauth.retirement import Retirement
from safeconduct.oauth.token import Origin, TokenRequests
from safeconduct.signin import SESSION_COOKIE
from safeconduct.upstreams import Catalogue

ErrorPage = Callable[[Request, int, str, str], Response]
_Answer = Callable[[Request], Awaitable[Response]]

_MAX_FORM_BYTES = 16 * 1024
_AGENT_LONGEST = 512
_OPEN = {"Access-Control-Allow-Origin": "*"}
_PRIVATE = {**_OPEN, "Cache-Control": "no-store", "Pragma": "no-cache"}
_SHORT = {**_OPEN, "Cache-Control": "public, max-age=60"}
_PREFLIGHT = {
    **_OPEN,
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, MCP-Protocol-Version",
    "Access-Control-Max-Age": "600",
}
_REDIRECT = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
_LAST_WORDS = {Code.UNAVAILABLE: 503, Code.TOO_LARGE: 413, Code.THROTTLED: 429}
_RETRY_SECONDS = "60"


class OAuthEndpoints:
    """The endpoints of a host's authorization server, and its discovery documents."""

    def __init__(
        self,
        *,
        asking: Asking,
        authentication: ClientAuthentication,
        tokens: TokenRequests,
        registrations: Registrations,
        retirement: Retirement,
        catalogue: Catalogue,
        error_page: ErrorPage,
    ) -> None:
        self._asking = asking
        self._authentication = authentication
        self._tokens = tokens
        self._registrations = registrations
        self._retirement = retirement
        self._catalogue = catalogue
        self._error_page = error_page

    def routes(self) -> list[Route]:
        """Return the routes; the aliases are what clients try when they find no metadata."""
        return [
            *_at(["/oauth/authorize", "/authorize"], self.authorize, "GET"),
            *_at(["/oauth/token", "/token", "/api/auth/token"], self.token, "POST", "OPTIONS"),
            *_at(["/oauth/register", "/register"], self.register, "POST", "OPTIONS"),
            *_at(["/oauth/revoke"], self.revoke, "POST", "OPTIONS"),
            *_discovery(self.authorization_server, self.protected_resource),
        ]

    async def authorize(self, request: Request) -> Response:
        try:
            query, cookie = request.scope["query_string"], request.cookies.get(SESSION_COOKIE)
            location = await self._asking.begin(_host(request), query, cookie=cookie)
        except Untrusted as refused:
            page = self._error_page(request, refused.status, refused.title, refused.public)
            page.headers.update(_REDIRECT)
            return page
        return Response(status_code=303, headers={**_REDIRECT, "Location": location})

    async def token(self, request: Request) -> Response:
        async def answer() -> Response:
            said, client = await self._proven(request)
            pair = await self._tokens.answer(_host(request), client, said, _origin(request))
            return _json(pair)

        return await _guarded(request, answer)

    async def revoke(self, request: Request) -> Response:
        async def answer() -> Response:
            said, client = await self._proven(request)
            await self._retirement.retire(_host(request), client, said, _origin(request))
            return Response(headers=_PRIVATE)

        return await _guarded(request, answer)

    async def register(self, request: Request) -> Response:
        async def answer() -> Response:
            if _media_type(request) != "application/json":
                raise OAuthRefused("invalid_client_metadata", "a registration is application/json")
            body = await _body(request, registration.MAX_BODY_BYTES)
            ip = _origin(request).ip
            said = await self._registrations.register(_host(request), body, ip=ip)
            return _json(said, status=201)

        return await _guarded(request, answer)

    async def authorization_server(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=_PREFLIGHT)
        if not _is_endpoint(request.path_params.get("rest", "")):
            return _missing()
        return _json(metadata.authorization_server(_host(request)), headers=_SHORT)

    async def protected_resource(self, request: Request) -> Response:
        """Publish the resource exactly as it was typed: clients compare it as a text."""
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=_PREFLIGHT)
        host = _host(request)
        path = f"/mcp{request.path_params.get('rest', '')}"
        name = await self._name(host, path.removesuffix("/"))
        if name is None:
            return _missing()
        query = request.scope["query_string"].decode("latin-1")
        chosen = f"?{query}" if path == "/mcp" and query.startswith("upstream_mcp=") else ""
        document = metadata.protected_resource(host, resource=host.url(path) + chosen, name=name)
        return _json(document, headers=_SHORT)

    async def _name(self, host: Host, path: str) -> str | None:
        """Return the name of the endpoint at a path, or None if there is none."""
        if path == "/mcp":
            return host.name
        key = path.removeprefix("/mcp/")
        if key == path or "/" in key:
            return None
        server = await self._catalogue.get(host.key, ServerKey(key))
        return None if server is None else server.name

    async def _proven(self, request: Request) -> tuple[Parameters, Client]:
        """Read a form and prove which client sent it."""
        if _media_type(request) != "application/x-www-form-urlencoded":
            raise OAuthRefused("invalid_request", "the body is not form-encoded")
        try:
            said = parameters.read(await _body(request, _MAX_FORM_BYTES))
        except NotParameters as error:
            raise OAuthRefused("invalid_request", "the body cannot be read") from error
        if fault := said.fault():
            raise OAuthRefused("invalid_request", fault)
        client = await self._authentication.client(_host(request), request.headers, said)
        return said, client


async def _guarded(request: Request, answer: Callable[[], Awaitable[Response]]) -> Response:
    """Answer, or turn a refusal into OAuth's JSON."""
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=_PREFLIGHT)
    try:
        return await answer()
    except OAuthRefused as refused:
        headers = {**_PRIVATE}
        if refused.challenge:
            headers["WWW-Authenticate"] = refused.challenge
        if refused.status in {429, 503}:
            headers["Retry-After"] = _RETRY_SECONDS
        said = {"error": refused.error, "error_description": refused.public}
        return _json(said, status=refused.status, headers=headers)
    except GatewayError as refused:
        status = _LAST_WORDS.get(refused.code, 500)
        error = "temporarily_unavailable" if status == 503 else "server_error"
        headers = {**_PRIVATE, "Retry-After": _RETRY_SECONDS} if status == 503 else _PRIVATE
        return _json(
            {"error": error, "error_description": refused.public}, status=status, headers=headers
        )


def _at(paths: list[str], endpoint: _Answer, *methods: str) -> list[Route]:
    return [Route(path, endpoint, methods=list(methods)) for path in paths]


def _discovery(server: _Answer, resource: _Answer) -> list[Route]:
    paths = [
        f"/.well-known/{document}{suffix}"
        for document in ("oauth-authorization-server", "openid-configuration")
        for suffix in ("", "/mcp{rest:path}")
    ]
    resources = [
        f"/.well-known/oauth-protected-resource{suffix}" for suffix in ("", "/mcp{rest:path}")
    ]
    nothing = ["/mcp/.well-known/{rest:path}", "/mcp/{server}/.well-known/{rest:path}"]
    return [
        *_at(paths, server, "GET", "OPTIONS"),
        *_at(resources, resource, "GET", "OPTIONS"),
        *_at(nothing, _nothing, "GET", "OPTIONS"),
    ]


async def _nothing(_request: Request) -> Response:
    """Answer clients that look for discovery below the endpoint: no challenge, no redirect."""
    return _missing()


def _is_endpoint(rest: str) -> bool:
    return not rest or rest.startswith("/")


def _host(request: Request) -> Host:
    host = request.state.host
    assert isinstance(host, Host)
    return host


def _origin(request: Request) -> Origin:
    agent = request.headers.get("user-agent")
    return Origin(
        ip=getattr(request.state, "ip", None),
        user_agent=agent[:_AGENT_LONGEST] if agent else None,
    )


def _media_type(request: Request) -> str:
    return media_of(request.headers.get("content-type", "")).type


async def _body(request: Request, most: int) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise OAuthRefused("invalid_request", "the body is too large", status=413)
    except ClientDisconnect as error:
        raise OAuthRefused("invalid_request", "the body is not complete") from error
    return bytes(body)


def _json(
    said: dict[str, Any], *, status: int = 200, headers: Mapping[str, str] = _PRIVATE
) -> Response:
    return Response(
        msgspec.json.encode(said),
        status_code=status,
        headers=dict(headers),
        media_type="application/json",
    )


def _missing() -> Response:
    return _json({"error": "not_found"}, status=404, headers=_SHORT)
