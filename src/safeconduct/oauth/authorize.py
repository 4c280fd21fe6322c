"""The authorization endpoint's judgement: a request becomes an ask, or a refusal.

The order matters (RFC 6749 section 4.1.2.1, RFC 9700 section 4.11.2): first the client, then
the redirect address, and only then may anything be sent to that address - before a person has
signed in, only to one that somebody vouches for. Every answer there carries `iss` (RFC 9207),
byte for byte the issuer of the metadata.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from safeconduct import consent as consents
from safeconduct.core import redirects
from safeconduct.core.clock import Clock
from safeconduct.core.model import ClientId, ServerKey
from safeconduct.core.redirects import Kind
from safeconduct.core.secrets import new_id
from safeconduct.hosts import Host
from safeconduct.oauth import asks, audiences, parameters, scopes
from safeconduct.oauth.asks import Request
from safeconduct.oauth.audiences import Audience
from safeconduct.oauth.clients import Clients
from safeconduct.oauth.parameters import NotParameters, Parameters
from safeconduct.oauth.refusals import OAuthRefused, Untrusted
from safeconduct.oauth.registry import Client
from safeconduct.signin import BrowserSessions
from safeconduct.storage import Database
from safeconduct.upstreams import Catalogue

# RFC 7636 section 4.2, S256; the last character carries four bits, and has no others.
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
_LONGEST_CLIENT = 2048
_FORGET = (
    "The program that sent you here remembers a registration that this gateway does not have. "
    "Let it forget, then connect again. Claude Code: /mcp, then “Clear authentication”. "
    "Codex: codex mcp logout NAME. OpenCode: opencode mcp logout NAME. "
    "mcpc: mcpc logout URL. mcp-remote: delete the directory ~/.mcp-auth. "
    "Others: remove the server and add it again."
)


class Asking:
    """Turns authorization requests into asks."""

    def __init__(
        self,
        database: Database,
        *,
        clients: Clients,
        catalogue: Catalogue,
        browsers: BrowserSessions,
        clock: Clock,
        most_waiting: int = 10_000,
    ) -> None:
        """Prepare.

        Args:
            database: Where asks are kept.
            clients: Who may ask.
            catalogue: What may be asked for.
            browsers: Who sits there, where that counts before anybody is asked.
            clock: Asks live for ten minutes.
            most_waiting: Asks of one host that may wait at the same time.
        """
        self._database = database
        self._clients = clients
        self._catalogue = catalogue
        self._browsers = browsers
        self._clock = clock
        self._most_waiting = most_waiting

    async def begin(self, host: Host, query: bytes, *, cookie: str | None = None) -> str:
        """Return where to send the browser: to the person's decision, or back with an error.

        Args:
            host: The tenant.
            query: As it stands in the address.
            cookie: The browser's session, if it has one.

        Raises:
            Untrusted: If there is no proven address to send an error to.
        """
        try:
            said = parameters.read(query)
        except NotParameters as error:
            raise Untrusted("This link is not complete", "The address cannot be read.") from error
        client = await self._client(host, said)
        redirect_uri = _redirect_uri(host, client, said)
        try:
            request = await self._request(host, client, redirect_uri, said)
            return host.url(f"/consent?request={quote(await self._keep(host, request))}")
        except OAuthRefused as refused:
            if not await self._trusts(host, client, redirect_uri, said=said, cookie=cookie):
                raise _stays_here(client, refused) from refused
            answer = {"error": refused.error, "error_description": refused.public}
            return answered(host, redirect_uri, said.get("state"), answer)

    async def _trusts(
        self,
        host: Host,
        client: Client,
        redirect_uri: str,
        *,
        said: Parameters,
        cookie: str | None,
    ) -> bool:
        """Say whether a refusal may go to an address before anybody was asked.

        Anybody can register an address, and a link to us would lead people there without a
        question (RFC 9700 section 4.11.2): to a site, to whatever listens on their machine, to
        what their system does when a scheme is opened. Nobody is shown a page where the client
        wants none, so the difference is told here. A site hears then what OpenID Connect Core
        section 3.1.2.6 has for it. Else what runs on their machine is no site; but a `prompt`
        that cannot be read may want no page as well.
        """
        if self._clients.vouched_for(host, client, redirect_uri):
            return True
        kind = redirects.kind_of(redirect_uri)
        silent = "none" in (said.get("prompt") or "").split()
        if kind is Kind.HTTPS:
            return silent
        if kind is Kind.LOOPBACK and not silent and "prompt" not in said.faults:
            return True
        return await self._consented(host, client, redirect_uri, cookie)

    async def _consented(
        self, host: Host, client: Client, redirect_uri: str, cookie: str | None
    ) -> bool:
        """Say whether who sits there lets this very client come back to this address."""
        browser = await self._browsers.find(host.key, cookie)
        if browser is None:
            return False
        async with self._database.read() as tx:
            theirs = await consents.of_person(tx, host.key, browser.subject)
        return any(
            consent.client == client.id
            and consent.client_digest == client.digest
            and consent.live_at(self._clock.seconds())
            and redirects.matches(redirect_uri, [consent.redirect_uri])
            for consent in theirs
        )

    async def _client(self, host: Host, said: Parameters) -> Client:
        claimed = said.get("client_id")
        if claimed is None or len(claimed) > _LONGEST_CLIENT:
            raise Untrusted(
                "This link is not complete", "It does not say which program wants to connect."
            )
        client = await self._clients.get(host, ClientId(claimed))
        if client is None:
            raise Untrusted("This program is not known here", _FORGET)
        if client.blocked:
            raise Untrusted(
                "This program is blocked",
                "An administrator of this host has blocked it. Ask them if you need it.",
                status=403,
            )
        return client

    async def _request(
        self, host: Host, client: Client, redirect_uri: str, said: Parameters
    ) -> Request:
        if fault := said.fault():
            raise OAuthRefused("invalid_request", fault)
        _only_codes(said)
        prompt = _prompt(said)
        audience = await self._audience(host, said)
        return Request(
            client=client.id,
            client_digest=client.digest,
            redirect_uri=redirect_uri,
            redirect_sent="redirect_uri" in said.values,
            state=said.get("state"),
            challenge=_challenge(said),
            resource=audience.resource,
            server=audience.server,
            suggested=await self._suggested(host, audience),
            level=scopes.asked(said.get("scope")),
            prompt=prompt,
        )

    async def _audience(self, host: Host, said: Parameters) -> Audience:
        audience = audiences.only(host, said.resources) or audiences.every(host)
        if audience.server and await self._catalogue.get(host.key, audience.server) is None:
            raise audiences.unknown()
        return audience

    async def _suggested(self, host: Host, audience: Audience) -> ServerKey | None:
        if audience.upstream is None:
            return None
        servers = await self._catalogue.every(host.key)
        return next((server.key for server in servers if server.url == audience.upstream), None)

    async def _keep(self, host: Host, request: Request) -> str:
        now = self._clock.now()
        ask = new_id("ask")
        async with self._database.write() as tx:
            await asks.forget_late(tx, before=now, host=host.key)
            surplus = await asks.waiting(tx, host.key, at=now) - self._most_waiting + 1
            # Anybody can fill this up; what a signed-in person has seen is never pushed out.
            if surplus > 0 and await asks.forget_unseen(tx, host.key, most=surplus) < surplus:
                raise OAuthRefused("temporarily_unavailable", "too many people are signing in")
            await asks.insert_ask(tx, host.key, ask, request, at=now)
        return ask


def _stays_here(client: Client, refused: OAuthRefused) -> Untrusted:
    return Untrusted(
        "This request was refused",
        f"{client.name} cannot be answered: {refused.public}. "
        "Nothing was sent to it. Start again from the program itself.",
    )


def answered(host: Host, redirect_uri: str, state: str | None, answer: dict[str, str]) -> str:
    """Return the address that carries an answer back to the client."""
    if state is not None:
        answer = {**answer, "state": state}
    return redirects.with_answer(redirect_uri, {**answer, "iss": host.origin})


def _redirect_uri(host: Host, client: Client, said: Parameters) -> str:
    """Return the proven address; a client with a single one may leave it out."""
    claimed = said.get("redirect_uri")
    if claimed is None and "redirect_uri" not in said.faults and len(client.redirect_uris) == 1:
        (claimed,) = client.redirect_uris
    if claimed is None or not redirects.matches(claimed, client.redirect_uris):
        raise Untrusted(
            "This link leads somewhere else",
            f"{client.name} did not register the address this link would send you to. "
            "Nothing was sent there. Start again from the program itself.",
        )
    if redirects.kind_of(claimed) is Kind.PRIVATE and not host.policies.clients.private_schemes:
        raise Untrusted(  # whoever registered before, or publishes a document, is held to it too
            "This link opens a program by a scheme of its own",
            "This host does not send people to such addresses. Ask an administrator.",
        )
    return claimed


def _only_codes(said: Parameters) -> None:
    match said.get("response_type"):
        case "code":
            pass
        case None:
            raise OAuthRefused("invalid_request", "response_type is missing")
        case _:
            raise OAuthRefused("unsupported_response_type", "only response_type=code is supported")
    if said.get("response_mode") not in (None, "query"):
        raise OAuthRefused("invalid_request", "only response_mode=query is supported")
    for name in ("request", "request_uri"):
        if said.get(name) is not None:
            raise OAuthRefused(f"{name}_not_supported", f"{name} is not supported")


def _challenge(said: Parameters) -> str:
    """PKCE is asked of every client, confidential ones too (RFC 9700 section 2.1.1)."""
    challenge = said.get("code_challenge")
    if challenge is None:
        raise OAuthRefused("invalid_request", "code_challenge is missing: PKCE is required")
    if said.get("code_challenge_method") != "S256":
        raise OAuthRefused("invalid_request", "code_challenge_method must be S256")
    if not CHALLENGE.fullmatch(challenge):
        raise OAuthRefused("invalid_request", "code_challenge is not a SHA-256 in base64url")
    return challenge


def _prompt(said: Parameters) -> tuple[str, ...]:
    words = tuple(dict.fromkeys((said.get("prompt") or "").split()))
    if "none" in words:
        if len(words) > 1:
            raise OAuthRefused("invalid_request", "prompt=none excludes other words")
        raise OAuthRefused("login_required", "signing in here takes a person")
    known = ("consent", "login", "select_account")
    return tuple(word for word in known if word in words)
