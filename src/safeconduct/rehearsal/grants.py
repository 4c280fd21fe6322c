"""The shortest honest way to a token: register, let the person decide, redeem the code.

RFC 7591 (registration), RFC 6749 section 4.1 with RFC 7636 (PKCE) and RFC 8707 (resource).
"""

from __future__ import annotations

import hashlib
import secrets
from urllib.parse import parse_qs, urlencode, urlsplit

from safeconduct.core.encoding import to_base64url
from safeconduct.core.secrets import Secret
from safeconduct.rehearsal.browser import Unexpected
from safeconduct.rehearsal.person import Person
from safeconduct.rehearsal.wire import Answer, exchange, post_json

_REDIRECT = "http://127.0.0.1:1/callback"  # nobody listens: the browser is ours


def obtain_token(person: Person, *, origin: str, resource: str, server: str, level: str) -> Secret:
    """Return an access token for an endpoint. Blocking; run it in a thread.

    Args:
        person: Who signs in and allows it.
        origin: The host's public origin.
        resource: The endpoint's address.
        server: The server's name, for the person.
        level: Low, Medium or High.

    Raises:
        Unexpected: If the gateway refuses anywhere on the way.
    """
    client = _register(origin)
    verifier = secrets.token_urlsafe(48)
    hashed = hashlib.sha256(verifier.encode()).digest()
    state = secrets.token_urlsafe(16)
    query = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": _REDIRECT,
        "code_challenge": to_base64url(hashed),
        "code_challenge_method": "S256",
        "state": state,
        "resource": resource,
    }
    away = person.allow(f"{origin}/oauth/authorize?{urlencode(query)}", server=server, level=level)
    told = parse_qs(urlsplit(away).query)
    if told.get("state") != [state] or "code" not in told:
        raise Unexpected("the browser came back without a code")
    return _redeem(origin, client, told["code"][0], verifier, resource)


def _register(origin: str) -> str:
    wanted = {
        "client_name": "Rehearsal",
        "redirect_uris": [_REDIRECT],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }
    answer = post_json(f"{origin}/oauth/register", wanted)
    if answer.status != 201:
        raise Unexpected(f"the agent was not registered: HTTP {answer.status}")
    return str(answer.json()["client_id"])


def _redeem(origin: str, client: str, code: str, verifier: str, resource: str) -> Secret:
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": _REDIRECT,
        "client_id": client,
        "code_verifier": verifier,
        "resource": resource,
    }
    answer: Answer = exchange(
        f"{origin}/oauth/token",
        method="POST",
        headers={"content-type": "application/x-www-form-urlencoded"},
        body=urlencode(fields).encode(),
    )
    if answer.status != 200:
        raise Unexpected(f"the code was not redeemed: HTTP {answer.status}")
    return Secret(str(answer.json()["access_token"]))
