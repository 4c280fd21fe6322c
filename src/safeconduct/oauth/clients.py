"""Clients: the programs that act for people, however they made themselves known.

For a client that is a document, the live copy wins, its last good copy is kept, and a copy an
operator or we vouch for comes last; failures are never remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError

from safeconduct.core import redirects
from safeconduct.core.canonical import canonical_bytes
from safeconduct.core.clock import Clock
from safeconduct.core.errors import GatewayError
from safeconduct.core.model import ClientId, HostId
from safeconduct.core.secrets import Secret, digest
from safeconduct.hosts import Host
from safeconduct.oauth import documents, names, registry
from safeconduct.oauth.documents import Document, Fetches, NotADocument
from safeconduct.oauth.registry import Client, Entry
from safeconduct.storage import Change, Database, Feed, Read, View, Write

_FRESH_SECONDS = 300  # where a document's server does not say how long it may be kept


class Clients:
    """Finds clients, in memory where possible."""

    def __init__(
        self,
        database: Database,
        feed: Feed,
        *,
        clock: Clock,
        fetcher: Fetches,
        pinned: Mapping[str, Document] | None = None,
    ) -> None:
        """Start with nothing in memory.

        Args:
            database: Where clients are kept.
            feed: Says which changed.
            clock: Says whether a copy is fresh.
            fetcher: Gets metadata documents.
            pinned: Copies used when the live document cannot be had; ours by default.
        """
        self._database = database
        self._clock = clock
        self._fetcher = fetcher
        self._pinned = documents.pinned() if pinned is None else pinned
        self._view: View[tuple[str, str], Entry] = View(
            database, feed, kind="client", load=_load, keys=_key
        )

    def held(self, host: Host, client: ClientId) -> Client | None:
        """Return a client that is in memory and may come here; never waits."""
        entry = self._view.held((host.key, client))
        if entry is None or (entry.client.kind == "document" and not self._admits(host, client)):
            return None
        return entry.client

    async def get(self, host: Host, client: ClientId) -> Client | None:
        """Return a client, fetching its metadata document when our copy is not fresh."""
        if documents.host_of(client) is None:
            return await self._stored_client(host, client)
        if not self._admits(host, client):
            return None
        entry = await self._view.get((host.key, client))
        if entry is not None and _fresh(entry, self._clock.now()):
            return entry.client
        fetched = await self._fetch(host, client)
        if fetched is not None:
            return await self._keep(host, client, *fetched)
        if entry is not None and entry.live:
            return entry.client
        return await self._vouched(host, client, entry)

    async def known(self, host: Host, client: ClientId) -> Entry | None:
        """Return a client we have a row of, without asking anybody outside."""
        if documents.host_of(client) is not None and not self._admits(host, client):
            return None
        return await self._view.get((host.key, client))

    def vouched_for(self, host: Host, client: Client, redirect_uri: str) -> bool:
        """Say whether an operator, or we, know that an address is this client's."""
        if client.kind != "document":
            return client.kind == "registered"
        document = _vouched_document(host, client.id, self._pinned)
        return document is not None and redirects.matches(redirect_uri, document.redirect_uris)

    async def register_configured(
        self,
        tx: Write,
        host: HostId,
        id: ClientId,  # noqa: A002  the field's own name
        name: str,
        redirect_uris: tuple[str, ...],
        secret: Secret | None,
    ) -> None:
        """Create or replace a client that an operator describes."""
        methods = ("client_secret_basic", "client_secret_post") if secret else ("none",)
        client = Client(
            id=id,
            name=names.shown(name),
            kind="registered",
            redirect_uris=redirect_uris,
            auth_methods=methods,
            document_host=None,
            digest=registry.self_description(names.shown(name), redirect_uris, methods),
        )
        await registry.put(
            tx,
            host,
            Entry(client=client, secret_digest=digest(secret.reveal()) if secret else None),
            at=self._clock.now(),
        )

    async def _stored_client(self, host: Host, client: ClientId) -> Client | None:
        entry = await self._view.get((host.key, client))
        return None if entry is None else entry.client

    def _admits(self, host: Host, client: ClientId) -> bool:
        """Say whether the host's admins let this document's client come at all."""
        policy = host.policies.clients
        allowed = policy.document_hosts
        return (
            policy.documents
            and client not in policy.dropped_documents
            and (not allowed or documents.host_of(client) in allowed)
        )

    async def _fetch(self, host: Host, client: ClientId) -> tuple[Document, float] | None:
        if not host.policies.clients.fetch_documents:
            return None
        try:
            fetched = await self._fetcher.get_json(client)
            document = documents.read(client, fetched.body)
        except (GatewayError, NotADocument):
            return None  # an answer we cannot use is no answer, and is not remembered
        seconds = fetched.max_age_seconds
        return document, _FRESH_SECONDS if seconds is None else seconds

    async def _vouched(self, host: Host, client: ClientId, entry: Entry | None) -> Client | None:
        document = _vouched_document(host, client, self._pinned)
        if document is None:
            return None
        described = registry.described(client, document)
        if entry is not None and entry.client.digest == described.digest:
            return entry.client
        return await self._keep(host, client, document, None)

    async def _keep(
        self, host: Host, client: ClientId, document: Document, seconds: float | None
    ) -> Client | None:
        """Write a document's client down and return it as it now stands."""
        now = self._clock.now()
        entry = Entry(
            client=registry.described(client, document),
            jwks_uri=document.jwks_uri,
            jwks=document.jwks,
            live=seconds is not None,
            fresh_until=None if seconds is None else now + timedelta(seconds=seconds),
        )
        try:
            async with self._database.write() as tx:
                await registry.put(tx, host.key, entry, at=now)
        except IntegrityError:
            pass  # another worker wrote the same row first
        return await self._stored_client(host, client)


def _vouched_document(
    host: Host, client: ClientId, pinned: Mapping[str, Document]
) -> Document | None:
    policy = host.policies.clients
    for added in policy.added_documents:
        if added.url == client:
            try:
                return documents.read(client, canonical_bytes(added.document))
            except NotADocument:
                return None
    return pinned.get(client) if policy.pinned_documents else None


def _fresh(entry: Entry, now: datetime) -> bool:
    return entry.fresh_until is not None and now < entry.fresh_until


async def _load(tx: Read, key: tuple[str, str]) -> Entry | None:
    return await registry.find(tx, HostId(key[0]), ClientId(key[1]))


def _key(change: Change) -> tuple[str, str]:
    return change.host, change.key
