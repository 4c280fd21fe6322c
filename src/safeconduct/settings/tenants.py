"""What the configuration file says about a tenant: one of `hosts`.

Frozen, with every default visible; what is left out is the safe choice.
"""

# Annotations are evaluated here: the reader and the documentation are driven by them.

from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import field

from safeconduct.core.model import Level, Value, Whose
from safeconduct.core.secrets import Secret
from safeconduct.settings import forms
from safeconduct.settings.apis import HttpSettings
from safeconduct.settings.git import GitSettings, InnerPath
from safeconduct.settings.marks import About, Range, Shape, Switch
from safeconduct.settings.spellings import (
    ArgumentPath,
    ClientId,
    Days,
    DocumentUrl,
    Domain,
    Email,
    HostKey,
    Name,
    ObjectOfUri,
    ObjectOfValue,
    Permission,
    PointId,
    RedirectUri,
    Relation,
    ServerKey,
    UriTemplate,
    Url,
)


class PasswordSignIn(Value, frozen=True):
    """Email and password."""

    sign_up: Annotated[bool, About(text="Let anybody create an account.")] = False
    minimum_length: Annotated[
        int,
        Range(least=8, most=128),
        About(text="Shortest password for new ones.", unit="characters"),
    ] = 10


class SignInSettings(Value, frozen=True):
    """How people of a host sign in; at least one method."""

    password: Annotated[
        PasswordSignIn | None,
        Switch(),
        About(text="Email and password; `true`, `false`, or a mapping.", default="`true`"),
    ] = field(default_factory=PasswordSignIn)


class PersonSettings(Value, frozen=True):
    """A human user of the host."""

    email: Annotated[Email, About(text="Identifies the person; upper and lower case are one.")]
    name: Annotated[Name, About(text="Name on pages.", same_as="email")] = ""
    password: Annotated[
        Secret | None, About(text="First password.", default="cannot sign in by password yet")
    ] = None
    groups: Annotated[tuple[Name, ...], About(text="Groups, for access and policies.")] = ()
    attributes: Annotated[
        dict[str, Any], About(text="Anything policies should know about the person.")
    ] = field(default_factory=dict)


class OperatorSettings(Value, frozen=True):
    """Someone who administers the host."""

    email: Annotated[Email, About(text="Identifies the operator.")]
    role: Annotated[
        Literal["owner", "admin", "approver", "auditor"], About(text="What the operator may do.")
    ]
    name: Annotated[Name, About(text="Name on pages.", same_as="email")] = ""
    password: Annotated[
        Secret | None,
        About(text="First password; not needed when `people` gives one to the same email."),
    ] = None


class BindingSettings(Value, frozen=True):
    """What an argument names, and the permission needed on it."""

    path: Annotated[
        ArgumentPath,
        About(text="Where the value is, such as `arguments.issue_id`; `*` is each item."),
    ]
    object: Annotated[ObjectOfValue, About(text="What it names, such as `ticket:{value}`.")]
    permission: Annotated[Permission, About(text="What the subject needs on it.")]
    subject: Annotated[Whose, About(text="Whose permission counts.")] = "person"
    optional: Annotated[bool, About(text="Whether the argument may be left out.")] = False


class UriBindingSettings(Value, frozen=True):
    """What the URIs of a server's resources name, and the permission needed on it."""

    uri: Annotated[
        UriTemplate,
        About(
            text="Such as `ticket://{id}`; a part is one segment, nothing encoded. Of a scheme that"
            " is named here, every other URI is refused."
        ),
    ]
    permission: Annotated[
        Permission, About(text="What the subject needs on it; `none` for nothing at all.")
    ]
    object: Annotated[
        ObjectOfUri | None,
        About(text="What it names, such as `ticket:{id}`.", default="with `none`, nothing"),
    ] = None
    subject: Annotated[Literal["person", "agent"], About(text="Whose permission counts.")] = (
        "person"
    )


class ToolSettings(Value, frozen=True):
    """What the host decides about one tool."""

    level: Annotated[
        Level | None, About(text="Level the tool needs.", default="judged from its name")
    ] = None
    enabled: Annotated[bool, About(text="Whether anybody may see and call it.")] = True
    bindings: Annotated[
        tuple[BindingSettings, ...],
        About(text="Instances its arguments name; a call needs the permission on each."),
    ] = ()


class UpstreamSettings(Value, frozen=True):
    """One server behind the gateway: exactly one of `url` and `http` says where it is."""

    key: Annotated[ServerKey, About(text="Name in addresses: `/mcp/{key}`.")]
    url: Annotated[Url | None, About(text="The server's MCP endpoint.")] = None
    http: Annotated[
        HttpSettings | None, About(text="A plain HTTP API instead. See docs/http-tools.md.")
    ] = None
    name: Annotated[Name, About(text="Name on pages.", same_as="key")] = ""
    description: Annotated[str, About(text="One sentence for the server choice.")] = ""
    imports: Annotated[
        Literal["all", "strict", "usable"] | tuple[Name, ...],
        About(
            text="Tools to take over: `all`, or a list of names. Of an OpenAPI document, `strict`"
            " (as `all`) refuses it if an operation cannot be a tool, `usable` leaves that one out."
        ),
    ] = field(default="all", name="import")
    tools: Annotated[
        dict[str, ToolSettings], About(text="Decisions about single tools, by their name.")
    ] = field(default_factory=dict)
    resources: Annotated[
        tuple[UriBindingSettings, ...], About(text="Instances that its resources' URIs name.")
    ] = ()
    arguments: Annotated[
        Literal["refuse", "note", "off"] | None,
        About(
            text="What becomes of arguments that do not fit the reviewed schema of the tool:"
            " refused, noted in the record, or not looked at.",
            default="`refuse` for tools whose arguments a binding or rule reads, otherwise `note`",
        ),
    ] = None
    results: Annotated[
        Literal["refuse", "note", "off"] | None,
        About(
            text="The same for structured results of up to 256 KiB; `refuse` withholds them and"
            " says that the call took effect.",
            default="`note`",
        ),
    ] = None


class AccessSettings(Value, frozen=True):
    """How much a person or a group may grant on a server; exactly one of the two."""

    server: Annotated[ServerKey, About(text="Key of a server of this host.")]
    ceiling: Annotated[Level, About(text="Highest level that may be granted.")]
    person: Annotated[Email | None, About(text="Email of a person of this host.")] = None
    group: Annotated[Name | None, About(text="Group of people.")] = None


class PolicySettings(Value, frozen=True):
    """The host's own rules: a directory, a git repository or by API; and where rules run."""

    directory: Annotated[Path | None, About(text="Directory with Rego files and their data.")] = (
        None
    )
    git: Annotated[GitSettings | None, About(text="A git repository instead.")] = None
    by: Annotated[
        Literal["files", "api"],
        About(
            text="What brings rules: one of those, or requests to `/api/v1/policy`, which nothing"
            " else then changes."
        ),
    ] = "files"
    trusted_keys: Annotated[
        tuple[Secret, ...],
        About(
            text="Ed25519 public keys (PEM or JWK) of those who write rules; when there are any,"
            " only rules signed by one of them are taken. See `safeconduct policy sign`.",
            default="rules need no signature",
        ),
    ] = ()
    off: Annotated[
        tuple[InnerPath, ...],
        About(text="Files of either that do not count, such as `limits.rego`; each must be there."),
    ] = ()
    engine: Annotated[
        Literal["embedded", "opa"],
        About(text="In this process, or by the servers of `server.opa`."),
    ] = "embedded"


class ClientSettings(Value, frozen=True):
    """An agent that was registered beforehand."""

    id: Annotated[ClientId, About(text="The OAuth client id.")]
    redirect_uris: Annotated[
        tuple[RedirectUri, ...],
        About(text="Where codes may be sent; the port of a loopback address is ignored."),
    ]
    name: Annotated[Name, About(text="Name on the consent page.", same_as="id")] = ""
    secret: Annotated[
        Secret | None, About(text="The client's secret.", default="a public client with PKCE")
    ] = None


class EnforcementPointSettings(Value, frozen=True):
    """Something outside that asks for this host's decisions and enforces them."""

    id: Annotated[PointId, About(text="Names it in records; its user name with HTTP Basic.")]
    secret: Annotated[
        Secret,
        About(text="What it proves itself with: at least 20 characters, printable ASCII."),
    ]
    relations: Annotated[
        Literal["none", "read", "write"],
        About(text="What it may do with the host's relations at `/api/v1/relations`."),
    ] = "none"
    policy: Annotated[
        Literal["none", "read", "write"],
        About(
            text="What it may do with the host's rules at `/api/v1/policy`. With `write` it can"
            " let rules decide that refuse less."
        ),
    ] = "none"
    tools: Annotated[
        Literal["none", "read", "write"],
        About(
            text="What it may do at `/api/v1/servers` with what servers offer. With `write` it can"
            " accept tools that changed."
        ),
    ] = "none"


class ClientDocument(Value, frozen=True):
    """A copy of a client's metadata document, used when it cannot be fetched."""

    document: Annotated[
        dict[str, Any],
        About(text="The document, with `client_id` (its URL) and `redirect_uris`."),
    ]


class ClientDocumentSettings(Value, frozen=True):
    """Clients whose id is the URL of their metadata document."""

    fetch: Annotated[bool, About(text="Fetch documents; a live one wins over a copy.")] = True
    pinned: Annotated[bool, About(text="Use the built-in copies of well-known clients.")] = True
    add: Annotated[tuple[ClientDocument, ...], About(text="More copies.")] = ()
    drop: Annotated[
        tuple[DocumentUrl, ...], About(text="Client ids that are refused, even if fetchable.")
    ] = ()
    allow_hosts: Annotated[
        tuple[Domain, ...] | None,
        About(text="The only names documents are fetched from.", default="any public name"),
    ] = None


class SessionSettings(Value, frozen=True):
    """How long a connection lives."""

    idle_days: Annotated[Days, About(text="Without a tool call.", unit="days")] = 30
    absolute_days: Annotated[Days, About(text="At most, whatever happens.", unit="days")] = 90


class TokenSettings(Value, frozen=True):
    """Lives of tokens. Revocation does not wait for them: each call looks its session up."""

    access_seconds: Annotated[
        int,
        Range(least=360, most=86_400),
        About(
            text="Life of an access token. Below 6 minutes some clients refresh before every"
            " single request.",
            unit="seconds",
        ),
    ] = 900
    refresh_grace_seconds: Annotated[
        int,
        Range(least=0, most=60),
        About(
            text="How long a rotated refresh token may be repeated before it counts as stolen.",
            unit="seconds",
        ),
    ] = 30


class ConsentSettings(Value, frozen=True):
    """What people may choose when they let an agent in."""

    until_revoked: Annotated[bool, About(text="Offer a consent that does not expire.")] = False
    longest_days: Annotated[
        Days, About(text="Longest consent that can be chosen, and the first choice.", unit="days")
    ] = 90
    start: Annotated[Level, About(text="Level that is marked at first.")] = Level.LOW


class HostSettings(Value, frozen=True):
    """A tenant: one public origin with its own people, servers, sessions and log."""

    key: Annotated[HostKey, About(text="The host's permanent name.")]
    origin: Annotated[
        str,
        Shape(form=forms.origin, word="origin"),
        About(text="Public origin and issuer; plain http on loopback only."),
    ]
    name: Annotated[Name, About(text="Name on pages.", same_as="key")] = ""
    sign_in: Annotated[SignInSettings, About(text="How people sign in.")] = field(
        default_factory=SignInSettings
    )
    people: Annotated[tuple[PersonSettings, ...], About(text="The people of the host.")] = ()
    operators: Annotated[tuple[OperatorSettings, ...], About(text="Who administers it.")] = ()
    servers: Annotated[tuple[UpstreamSettings, ...], About(text="Servers behind it.")] = ()
    access: Annotated[
        tuple[AccessSettings, ...],
        About(text="Ceilings; without one, nobody can grant anything."),
    ] = ()
    relations: Annotated[
        tuple[Relation, ...], About(text="Relationships that policies may ask about.")
    ] = ()
    policy: Annotated[
        PolicySettings | None,
        About(text="Own rules, and their engine.", default="the built-in rules alone"),
    ] = None
    clients: Annotated[tuple[ClientSettings, ...], About(text="Agents registered beforehand.")] = ()
    client_documents: Annotated[
        ClientDocumentSettings, About(text="Agents known by a metadata document.")
    ] = field(default_factory=ClientDocumentSettings)
    enforcement_points: Annotated[
        tuple[EnforcementPointSettings, ...],
        About(text="Who may ask for decisions at `/access/v1/` and about tokens; nobody else may."),
    ] = ()
    registration: Annotated[
        Literal["open", "off"], About(text="Whether agents may register themselves.")
    ] = "open"
    private_schemes: Annotated[
        bool, About(text="Allow redirect URIs with an app's own scheme, such as `cursor:`.")
    ] = True
    tool_visibility: Annotated[
        Literal["allowed", "all"],
        About(text="Tools a caller is shown: the ones it could call, or all."),
    ] = "allowed"
    sessions: Annotated[SessionSettings, About(text="How long connections live.")] = field(
        default_factory=SessionSettings
    )
    tokens: Annotated[TokenSettings, About(text="How long tokens live.")] = field(
        default_factory=TokenSettings
    )
    consent: Annotated[ConsentSettings, About(text="What people may choose.")] = field(
        default_factory=ConsentSettings
    )
