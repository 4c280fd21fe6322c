"""Client-id metadata documents: a client whose id is the https URL of its description.

draft-ietf-oauth-client-id-metadata-document. The address is judged before anything is
fetched; the document is data of a stranger, so an allow-list of members is copied out of it.
Grant types and methods we do not have are dropped as long as something usable remains.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Any, Protocol

from safeconduct.core import redirects
from safeconduct.core.canonical import StrictJSONError, canonical_bytes, parse
from safeconduct.core.model import Value
from safeconduct.egress import FetchedDocument
from safeconduct.oauth import names

_ADDRESS = re.compile(
    r"https://(?P<host>[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)(?::[1-9][0-9]{0,4})?"
    r"(?P<path>/[!$&-;=@-Z_a-z~%]+)"
)
_DOTS = re.compile(r"(?:\.|%2e){1,2}", re.IGNORECASE)
_LONGEST_ADDRESS = 512
_MOST_REDIRECTS = 20
_METHODS = ("none", "private_key_jwt")
_SECRETS = frozenset({"client_secret", "client_secret_expires_at"})


class NotADocument(ValueError):
    """The text does not describe the client it was fetched for. The message says why."""


class Document(Value, frozen=True):
    """What a client publishes about itself, cut down to what we use."""

    name: str
    redirect_uris: tuple[str, ...]
    auth_methods: tuple[str, ...]
    refreshes: bool
    jwks_uri: str | None = None
    jwks: dict[str, Any] | None = None


class Fetches(Protocol):
    """The one way out for addresses that strangers gave us; see `safeconduct.egress.Fetcher`."""

    async def get_json(
        self, url: str, *, max_bytes: int = 5120, seconds: float = 5.0
    ) -> FetchedDocument:
        """Fetch one document or raise GatewayError."""


def host_of(client: str) -> str | None:
    """Return the host that publishes a client id, or None if it is no document's address."""
    found = _ADDRESS.fullmatch(client)
    if found is None or len(client) > _LONGEST_ADDRESS:
        return None
    if any(_DOTS.fullmatch(segment) for segment in found["path"].split("/")):
        return None
    return found["host"]


def read(client: str, body: bytes) -> Document:
    """Read the document of a client.

    Raises:
        NotADocument: If it is not JSON, describes another client, lacks a member or names
            an address or a secret that may not be there.
    """
    try:
        said = parse(body)
    except StrictJSONError as error:
        raise NotADocument("the document is not JSON") from error
    if not isinstance(said, dict) or said.get("client_id") != client:
        raise NotADocument("the document does not name the address it stands at")
    if _SECRETS & said.keys():
        raise NotADocument("the document publishes a secret")
    if not isinstance(said.get("client_name"), str):
        raise NotADocument("the document has no client_name")
    jwks_uri, jwks = _keys(said)
    return Document(
        name=names.shown(said["client_name"]),
        redirect_uris=_redirect_uris(said.get("redirect_uris")),
        auth_methods=_methods(said, keys=bool(jwks_uri or jwks)),
        refreshes=_grants(said),
        jwks_uri=jwks_uri,
        jwks=jwks,
    )


def pinned() -> dict[str, Document]:
    """Return our copies of well-known documents, by exact address."""
    text = resources.files(__package__).joinpath("pinned.json").read_bytes()
    return {
        said["client_id"]: read(said["client_id"], canonical_bytes(said)) for said in parse(text)
    }


def _redirect_uris(said: object) -> tuple[str, ...]:
    if not isinstance(said, list) or not 1 <= len(said) <= _MOST_REDIRECTS:
        raise NotADocument("the document has no redirect_uris, or too many")
    kept: list[str] = []
    for uri in said:
        if not isinstance(uri, str) or redirects.kind_of(uri) is redirects.Kind.REFUSED:
            raise NotADocument("the document names a redirect address that is not allowed")
        kept.append(uri)
    return tuple(dict.fromkeys(kept))


def _methods(said: dict[str, Any], *, keys: bool) -> tuple[str, ...]:
    named = [said.get("token_endpoint_auth_method", "none")]
    supported = said.get("token_endpoint_auth_methods_supported")
    if isinstance(supported, list):
        named += supported
    usable = tuple(
        method for method in _METHODS if method in named and (keys or method != "private_key_jwt")
    )
    if not usable:
        raise NotADocument("the document has no usable way to authenticate")
    return usable


def _keys(said: dict[str, Any]) -> tuple[str | None, dict[str, Any] | None]:
    uri, inline = said.get("jwks_uri"), said.get("jwks")
    if isinstance(uri, str) and host_of(uri) is not None:
        return uri, None
    return None, inline if isinstance(inline, dict) else None


def _grants(said: dict[str, Any]) -> bool:
    """Say whether the client refreshes; most documents leave the member out and do."""
    if "code" not in _listed(said, "response_types", ["code"]):
        raise NotADocument("the document does not use authorization codes")
    grants = _listed(said, "grant_types", ["authorization_code", "refresh_token"])
    if "authorization_code" not in grants:
        raise NotADocument("the document does not use authorization codes")
    return "refresh_token" in grants


def _listed(said: dict[str, Any], name: str, default: list[str]) -> list[object]:
    value = said.get(name, default)
    if not isinstance(value, list):
        raise NotADocument(f"the document's {name} is not a list")
    return value
