"""Discovery documents: RFC 8414 for the authorization server, RFC 9728 for its resources.

Everything is computed from the host's configured origin, never from the request, and equals
what clients typed byte for byte: no slash is added and none is lost. Pure.
"""

from __future__ import annotations

from typing import Any

from safeconduct.hosts import Host
from safeconduct.oauth import scopes

AUTHORIZE = "/oauth/authorize"
TOKEN = "/oauth/token"  # noqa: S105  a path
REGISTER = "/oauth/register"
REVOKE = "/oauth/revoke"
INTROSPECT = "/oauth/introspect"  # answered beside the other questions of enforcement points

AUTH_METHODS = ("none", "client_secret_basic", "client_secret_post", "private_key_jwt")
GRANT_TYPES = ("authorization_code", "refresh_token")
INTROSPECTION_METHODS = ("client_secret_basic", "Bearer")  # RFC 8414: or a token type
ASSERTION_ALGORITHMS = ("ES256", "RS256", "PS256", "EdDSA", "Ed25519")


def authorization_server(host: Host) -> dict[str, Any]:
    """Describe the host's authorization server.

    A client that sees metadata documents advertised never falls back to registration, so
    they are advertised only where one can be resolved.
    """
    document: dict[str, Any] = {
        "issuer": host.origin,
        "authorization_endpoint": host.url(AUTHORIZE),
        "token_endpoint": host.url(TOKEN),
        "revocation_endpoint": host.url(REVOKE),
        "scopes_supported": [scopes.BASIC],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANT_TYPES),
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
    }
    for endpoint in ("token", "revocation"):
        document[f"{endpoint}_endpoint_auth_methods_supported"] = list(AUTH_METHODS)
        document[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] = list(
            ASSERTION_ALGORITHMS
        )
    if host.policies.enforcement_points:
        document["introspection_endpoint"] = host.url(INTROSPECT)
        document["introspection_endpoint_auth_methods_supported"] = list(INTROSPECTION_METHODS)
    if host.policies.clients.registration:
        document["registration_endpoint"] = host.url(REGISTER)
    if host.policies.clients.documents:
        document["client_id_metadata_document_supported"] = True
    return document


def protected_resource(host: Host, *, resource: str, name: str) -> dict[str, Any]:
    """Describe one MCP endpoint; `resource` is the address exactly as its user typed it."""
    return {
        "resource": resource,
        "resource_name": name,
        "authorization_servers": [host.origin],
        "scopes_supported": [scopes.BASIC],
        "bearer_methods_supported": ["header"],
    }
