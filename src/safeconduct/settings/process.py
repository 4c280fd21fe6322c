"""What the configuration file says about the process: `server`.

Frozen, with every default visible; what is left out is the safe choice.
"""

# Annotations are evaluated here: the reader and the documentation are driven by them.

from pathlib import Path
from typing import Annotated, Literal

from msgspec import field

from safeconduct.core.model import Value
from safeconduct.core.secrets import Secret
from safeconduct.settings import forms
from safeconduct.settings.marks import About, Range, SecretUrl, Shape
from safeconduct.settings.spellings import (
    Bypass,
    Count,
    Domain,
    Email,
    Network,
    Target,
    Url,
)


class MailSettings(Value, frozen=True):
    """Outgoing mail: verification, password resets, approvals."""

    host: Annotated[Domain, About(text="The mail server's name.")]
    sender: Annotated[Email, About(text="Address the mail comes from.")]
    port: Annotated[
        int,
        Range(least=1, most=65535),
        About(text="Port; usual are 587 (starttls), 465 (tls) and 25 (none)."),
    ] = 587
    security: Annotated[
        Literal["starttls", "tls", "none"],
        About(text="Encryption; `none` is for this machine only, and never with a password."),
    ] = "starttls"
    username: Annotated[
        str, About(text="User name at the mail server; with a password.", default="no sign-in")
    ] = ""
    password: Annotated[Secret | None, About(text="Password at the mail server.")] = None


class RateLimits(Value, frozen=True):
    """Requests per client address, sized for many people behind one corporate address."""

    sign_in_per_5_minutes: Annotated[
        Count, About(text="Attempts to sign in.", unit="requests per 5 minutes")
    ] = 100
    sign_up_per_10_minutes: Annotated[
        Count, About(text="Attempts to sign up.", unit="requests per 10 minutes")
    ] = 100
    register_per_minute: Annotated[
        Count, About(text="Client registrations.", unit="requests per minute")
    ] = 100
    mcp_per_minute: Annotated[
        Count, About(text="Requests to the MCP endpoints.", unit="requests per minute")
    ] = 1000
    checks_per_minute: Annotated[
        Count, About(text="Questions of enforcement points.", unit="requests per minute")
    ] = 1000
    writes_per_minute: Annotated[
        Count, About(text="All POST, PUT, PATCH and DELETE.", unit="requests per minute")
    ] = 1200
    all_per_minute: Annotated[
        Count, About(text="Everything together.", unit="requests per minute")
    ] = 2000


class Limits(Value, frozen=True):
    """Sizes and patience."""

    body_bytes: Annotated[
        int,
        Range(least=1024, most=256 * 1024 * 1024),
        About(text="Largest request body.", unit="bytes"),
    ] = 4_194_304
    connections_per_address: Annotated[
        Count,
        About(
            text="Connections of one client address at a time, in each worker; those of trusted"
            " proxies are not counted.",
            unit="connections",
        ),
    ] = 2000
    answer_bytes: Annotated[
        int,
        Range(least=1024, most=1024 * 1024 * 1024),
        About(
            text="Largest answer of a server that is passed on, as JSON or in a stream.",
            unit="bytes",
        ),
    ] = 33_554_432
    upstream_calls: Annotated[
        int,
        Range(least=1, most=100_000),
        About(text="Calls under way to one server's address at a time, in each worker."),
    ] = 512
    upstream_calls_per_host: Annotated[
        int, Range(least=1, most=100_000), About(text="Those of one host among them.")
    ] = 256
    upstream_calls_per_person: Annotated[
        int, Range(least=1, most=100_000), About(text="Those of one person among them.")
    ] = 128
    upstream_streams: Annotated[
        int,
        Range(least=1, most=100_000),
        About(text="Streams open to one server's address that wait for news, in each worker."),
    ] = 1024
    upstream_streams_per_host: Annotated[
        int, Range(least=1, most=100_000), About(text="Those of one host among them.")
    ] = 512
    upstream_streams_per_person: Annotated[
        int, Range(least=1, most=100_000), About(text="Those of one person among them.")
    ] = 128
    upstream_idle_seconds: Annotated[
        int,
        Range(least=1, most=3600),
        About(text="Longest silence within an upstream's reply.", unit="seconds"),
    ] = 120
    upstream_head_seconds: Annotated[
        int,
        Range(least=1, most=3600),
        About(text="Longest wait for the start of an upstream's reply.", unit="seconds"),
    ] = 60


class RelationsSettings(Value, frozen=True):
    """Who answers questions about relations."""

    engine: Annotated[
        Literal["embedded", "spicedb"],
        About(text="This process from memory, or a SpiceDB cluster kept in step."),
    ] = "embedded"
    target: Annotated[
        Target | None, About(text="The cluster's address, such as `spicedb:50051`.")
    ] = None
    token: Annotated[Secret | None, About(text="The cluster's pre-shared key.")] = None
    plaintext: Annotated[
        bool, About(text="Do without TLS; for a cluster on this machine only.")
    ] = False


class OpaSettings(Value, frozen=True):
    """OPA servers that decide for hosts whose `policy.engine` is `opa`."""

    urls: Annotated[
        tuple[Url, ...],
        About(text="Where they are; decisions go round the ones that answer."),
    ]
    token: Annotated[
        Secret | None, About(text="Bearer token; it must be let to write policies and data.")
    ] = None
    timeout_milliseconds: Annotated[
        int,
        Range(least=10, most=60_000),
        About(text="Longest a decision may take; then it is a deny.", unit="milliseconds"),
    ] = 500
    most_at_once: Annotated[
        int,
        Range(least=1, most=10_000),
        About(text="Decisions of one host under way in a worker; more are denied at once."),
    ] = 64


class EgressSettings(Value, frozen=True):
    """The way out: for servers, HTTP APIs, documents of clients, OPA servers and git."""

    proxy: Annotated[
        Secret | None,
        SecretUrl(form=forms.forward_proxy),
        About(
            text="A forward proxy, such as `{env: HTTPS_PROXY}` or `http://proxy.example:3128`; it"
            " resolves the names, and there is no direct way when it fails.",
            default="everything is reached directly",
        ),
    ] = None
    no_proxy: Annotated[
        tuple[Bypass, ...] | None,
        About(
            text="What is reached directly all the same: names, each with all below it, addresses"
            " and networks. This machine always is.",
            default="what the variable `NO_PROXY` holds",
        ),
    ] = None
    ca_file: Annotated[
        Path | None,
        About(text="Certificates of authorities (PEM) that are trusted beside the system's."),
    ] = None


class ServerSettings(Value, frozen=True):
    """The process: where it listens, where it keeps things, what it may reach."""

    listen: Annotated[
        str,
        Shape(form=forms.listen, word="address:port"),
        About(text="Address and port to listen on; port 0 takes a free one."),
    ] = "127.0.0.1:8420"
    data_dir: Annotated[
        Path,
        About(text="Directory of the embedded database, the keys and the audit segments."),
    ] = Path(".safeconduct")
    database: Annotated[
        Secret | None,
        SecretUrl(),
        About(
            text="PostgreSQL instead of SQLite, such as `postgresql+psycopg://name@db/safeconduct`;"
            " with a password in it, write a reference.",
            default="SQLite in `data_dir`",
        ),
    ] = None
    workers: Annotated[
        int, Range(least=1, most=256), About(text="Worker processes.", unit="processes")
    ] = 1
    trusted_proxies: Annotated[
        tuple[Network, ...],
        About(text="Networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."),
    ] = ()
    allow_loopback_upstreams: Annotated[
        bool, About(text="Let servers be on this machine; for development and tests.")
    ] = False
    allow_private_upstreams: Annotated[
        bool, About(text="Let servers have addresses of private networks.")
    ] = False
    metrics: Annotated[
        Literal["loopback", "off", "public"],
        About(text="Who may read `/metrics`: this machine, nobody, or everybody."),
    ] = "loopback"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], About(text="Least weight that is logged.")
    ] = "info"
    durability: Annotated[
        Literal["process", "disk"],
        About(
            text="What a recorded decision survives before the call goes on: the end of the"
            " process, or of the machine. Tools of level high always wait for the disk."
        ),
    ] = "process"
    mail: Annotated[MailSettings | None, About(text="Outgoing mail.")] = None
    egress: Annotated[EgressSettings, About(text="The way out.")] = field(
        default_factory=EgressSettings
    )
    opa: Annotated[OpaSettings | None, About(text="OPA servers.")] = None
    rate_limits: Annotated[RateLimits, About(text="Requests per client address.")] = field(
        default_factory=RateLimits
    )
    limits: Annotated[Limits, About(text="Sizes and patience.")] = field(default_factory=Limits)
    relations: Annotated[
        RelationsSettings, About(text="Who answers questions about relations.")
    ] = field(default_factory=RelationsSettings)

    @property
    def listen_host(self) -> str:
        """The address to bind, without the brackets of IPv6."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def listen_port(self) -> int:
        """The port to bind; 0 means any free one."""
        return int(self.listen.rpartition(":")[2])
