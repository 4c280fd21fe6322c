"""What a host is to become: settings turned into the values that the domains store."""

from __future__ import annotations

from datetime import datetime

from msgspec import convert

from safeconduct.app.declaring import Declared
from safeconduct.app.rules import Offer, keys_of
from safeconduct.core.binding import Binding, UriBinding
from safeconduct.core.emails import normal_email
from safeconduct.core.model import ClientId, HostId, ServerKey, SubjectId, Value
from safeconduct.core.secrets import Secret, digest
from safeconduct.hosts import (
    ClientPolicy,
    ConsentPolicy,
    EnforcementPoint,
    Host,
    PinnedDocument,
    Policies,
    SessionPolicy,
    SignInPolicy,
    TokenPolicy,
)
from safeconduct.relations import (
    ACCESS,
    CONFIGURATION,
    Tuple,
    ceiling_tuple,
    members,
    person,
)
from safeconduct.settings import (
    AccessSettings,
    ClientSettings,
    HostSettings,
    OperatorSettings,
    PersonSettings,
    UpstreamSettings,
    UriBindingSettings,
)
from safeconduct.upstreams import Override, Wanted

_USER = "user:"


class Edge(Value, frozen=True):
    """An edge as the file has it; with `email`, its subject is the person of that address.

    The person may not exist yet, so the edge is spelled when it is written.
    """

    object: str
    relation: str
    subject: str
    source: str
    email: str | None = None
    expires_at: datetime | None = None

    def spelled(self, ids: dict[str, SubjectId]) -> Tuple:
        """Return the edge to store.

        Args:
            ids: Ids of the people of the host by address; an unknown address stays as text.
        """
        found = None if self.email is None else ids.get(self.email)
        return Tuple(
            object=self.object,
            relation=self.relation,
            subject=self.subject if found is None else person(found),
            expires_at=self.expires_at,
        )


class Target(Value, frozen=True):
    """One host as the file wants it, ready to compare.

    Attributes:
        offer: The rules of its directory, or none; None while a repository or requests say which.
        off: The files of either that do not count.
        credentials: Header values that plain HTTP APIs want, by header.
        left_out: What of its HTTP APIs cannot be a tool, or goes without a part, and why.
    """

    host: Host
    people: dict[str, PersonSettings]
    operators: dict[str, OperatorSettings]
    servers: dict[ServerKey, Wanted]
    clients: dict[ClientId, ClientSettings]
    edges: tuple[Edge, ...]
    offer: Offer | None = None
    off: tuple[str, ...] = ()
    credentials: dict[ServerKey, dict[str, Secret]] = {}
    left_out: tuple[str, ...] = ()


def target_of(said: HostSettings, offer: Offer | None, apis: Declared) -> Target:
    """Turn a host's settings, its rules and what its APIs offer into what is to be stored."""
    return Target(
        host=_host(said),
        people={normal_email(each.email): each for each in said.people},
        operators={normal_email(each.email): each for each in said.operators},
        servers={ServerKey(each.key): _server(each, apis) for each in said.servers},
        clients={ClientId(each.id): each for each in said.clients},
        edges=(*map(_ceiling, said.access), *map(_relation, said.relations)),
        offer=offer,
        off=() if said.policy is None else said.policy.off,
        credentials={
            ServerKey(each.key): {
                name.lower(): secret for name, secret in each.http.headers.items()
            }
            for each in said.servers
            if each.http is not None
        },
        left_out=apis.left_out,
    )


def _host(said: HostSettings) -> Host:
    return Host(key=HostId(said.key), name=said.name, origin=said.origin, policies=_policies(said))


def _policies(said: HostSettings) -> Policies:
    password = said.sign_in.password
    return Policies(
        sign_in=SignInPolicy(password=False)
        if password is None
        else SignInPolicy(sign_up=password.sign_up, minimum_length=password.minimum_length),
        sessions=SessionPolicy(
            idle_days=said.sessions.idle_days, absolute_days=said.sessions.absolute_days
        ),
        tokens=TokenPolicy(
            access_seconds=said.tokens.access_seconds,
            refresh_grace_seconds=said.tokens.refresh_grace_seconds,
        ),
        consent=ConsentPolicy(
            until_revoked=said.consent.until_revoked,
            longest_days=said.consent.longest_days,
            start=said.consent.start,
        ),
        clients=_client_policy(said),
        lists_everything=said.tool_visibility == "all",
        enforcement_points=tuple(
            EnforcementPoint(
                id=each.id,
                secret_digest=digest(each.secret.reveal()),
                relations=each.relations,
                policy=each.policy,
                tools=each.tools,
            )
            for each in said.enforcement_points
        ),
        policy_engine="embedded" if said.policy is None else said.policy.engine,
        policy_by="files" if said.policy is None else said.policy.by,
        policy_keys=keys_of(said),
    )


def _client_policy(said: HostSettings) -> ClientPolicy:
    documents = said.client_documents
    # An empty list names no host that may be fetched from; the stored one would mean any.
    nowhere = documents.allow_hosts == ()
    return ClientPolicy(
        registration=said.registration == "open",
        fetch_documents=documents.fetch and not nowhere,
        pinned_documents=documents.pinned,
        added_documents=tuple(
            PinnedDocument(url=str(each.document["client_id"]), document=each.document)
            for each in documents.add
        ),
        dropped_documents=documents.drop,
        document_hosts=documents.allow_hosts or (),
        private_schemes=said.private_schemes,
    )


def _server(said: UpstreamSettings, apis: Declared) -> Wanted:
    # The settings make sure that exactly one of the two is there.
    return Wanted(
        key=ServerKey(said.key),
        name=said.name,
        url=said.http.base if said.http is not None else str(said.url),
        description=said.description,
        tools=None if isinstance(said.imports, str) else said.imports,
        overrides={
            name: Override(
                level=tool.level,
                enabled=tool.enabled,
                bindings=convert(tool.bindings, tuple[Binding, ...], from_attributes=True),
            )
            for name, tool in said.tools.items()
        },
        resources=tuple(map(_uri_binding, said.resources)),
        http=apis.of.get(ServerKey(said.key)),
        arguments=said.arguments,
        results=said.results,
    )


def _uri_binding(said: UriBindingSettings) -> UriBinding:
    return UriBinding(
        uri=said.uri,
        permission=said.permission,
        object=said.object or "",
        subject=said.subject,
    )


def _ceiling(said: AccessSettings) -> Edge:
    # The settings make sure that exactly one of the two is there.
    email = None if said.person is None else normal_email(said.person)
    subject = members(str(said.group)) if email is None else f"{_USER}{email}"
    edge = ceiling_tuple(ServerKey(said.server), said.ceiling, subject)
    return _edge(edge, source=ACCESS, email=email)


def _relation(text: str) -> Edge:
    edge = Tuple.parse(text)
    address = edge.subject.removeprefix(_USER)
    is_user = edge.subject.startswith(_USER) and "@" in address and "#" not in address
    return _edge(edge, source=CONFIGURATION, email=normal_email(address) if is_user else None)


def _edge(edge: Tuple, *, source: str, email: str | None) -> Edge:
    return Edge(
        object=edge.object,
        relation=edge.relation,
        subject=edge.subject,
        source=source,
        email=email,
        expires_at=edge.expires_at,
    )
