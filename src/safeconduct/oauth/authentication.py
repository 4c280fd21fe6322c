"""Client authentication: exactly one method, and one the client is registered with.

RFC 6749 section 2.3. Unknown client, wrong secret and wrong method get the same answer, and
about the same work is done for each of them.
"""

from __future__ import annotations

from starlette.datastructures import Headers

from safeconduct.core.headers import basic_of, credentials_of
from safeconduct.core.model import ClientId, Value
from safeconduct.core.secrets import digest, same
from safeconduct.hosts import Host
from safeconduct.oauth import assertions
from safeconduct.oauth.assertions import Assertions
from safeconduct.oauth.clients import Clients
from safeconduct.oauth.parameters import Parameters
from safeconduct.oauth.refusals import OAuthRefused, invalid_client
from safeconduct.oauth.registry import Client, Entry

_LONGEST_ID = 2048
_LONGEST_HEADER = 8192
_NOBODY = digest("")


class Claim(Value, frozen=True):
    """Who a request says it is from, and by which method it would prove that."""

    method: str
    client: str
    proof: str


class ClientAuthentication:
    """Proves which client makes a request."""

    def __init__(self, clients: Clients, assertions: Assertions) -> None:
        self._clients = clients
        self._assertions = assertions

    async def client(self, host: Host, headers: Headers, said: Parameters) -> Client:
        """Return the client that made the request.

        Raises:
            OAuthRefused: `invalid_client`, or `invalid_request` for several methods at once.
        """
        claim = claim_of(headers, said)
        refusal = invalid_client(basic=claim.method == "client_secret_basic")
        if not claim.client or len(claim.client) > _LONGEST_ID:
            raise refusal
        entry = await self._clients.known(host, ClientId(claim.client))
        proven = await self._proven(host, entry, claim)
        if entry is None or not proven or claim.method not in entry.client.auth_methods:
            raise refusal
        return entry.client

    async def _proven(self, host: Host, entry: Entry | None, claim: Claim) -> bool:
        match claim.method:
            case "none":
                return True  # the caller checks that the client is registered so
            case "private_key_jwt":
                return entry is not None and await self._assertions.proves(host, entry, claim.proof)
            case _:
                # Compared even when there is nothing to compare with: the same work.
                stored = entry.secret_digest if entry is not None else None
                return same(digest(claim.proof), stored or _NOBODY) and stored is not None


def claim_of(headers: Headers, said: Parameters) -> Claim:
    """Read who the request says it is from.

    Raises:
        OAuthRefused: If it uses several methods, or the ids in it disagree.
    """
    claims = [
        claim for claim in (_basic(headers), _secret(said), _assertion(said)) if claim is not None
    ]
    if len(claims) > 1:
        raise OAuthRefused("invalid_request", "use one client authentication method only")
    claimed = said.get("client_id")
    if not claims:
        return Claim(method="none", client=claimed or "", proof="")
    claim = claims[0]
    if claimed is not None and claimed != claim.client:
        raise invalid_client(basic=claim.method == "client_secret_basic")
    return claim


def _basic(headers: Headers) -> Claim | None:
    try:
        sent = credentials_of(headers.getlist("authorization"))
        if sent is None:
            return None
        if sent.scheme != "basic" or len(sent.value) > _LONGEST_HEADER:
            raise invalid_client(basic=True)
        client, secret = basic_of(sent.value)
    except ValueError as error:
        raise invalid_client(basic=True) from error
    return Claim(method="client_secret_basic", client=client, proof=secret)


def _secret(said: Parameters) -> Claim | None:
    secret = said.get("client_secret")
    if secret is None:
        return None
    client = said.get("client_id") or ""
    return Claim(method="client_secret_post", client=client, proof=secret)


def _assertion(said: Parameters) -> Claim | None:
    """Read an assertion; without `client_id` beside it, it names the client itself."""
    assertion = said.get("client_assertion")
    if assertion is None:
        return None
    if said.get("client_assertion_type") != assertions.TYPE:
        raise invalid_client(basic=False)
    claimed = assertions.claimed_client(assertion) or ""
    return Claim(method="private_key_jwt", client=claimed, proof=assertion)
