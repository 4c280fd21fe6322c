"""The configuration file: one YAML text in, frozen and checked values out."""

from safeconduct.settings.apis import HttpSettings, HttpToolSettings
from safeconduct.settings.describe import describe_settings
from safeconduct.settings.documents import read_document
from safeconduct.settings.git import GitSettings
from safeconduct.settings.loading import load, parse
from safeconduct.settings.model import (
    Settings,
)
from safeconduct.settings.problems import Problem, SettingsError, suggestion
from safeconduct.settings.process import (
    EgressSettings,
    Limits,
    MailSettings,
    OpaSettings,
    RateLimits,
    RelationsSettings,
    ServerSettings,
)
from safeconduct.settings.tenants import (
    AccessSettings,
    ClientDocument,
    ClientDocumentSettings,
    ClientSettings,
    ConsentSettings,
    EnforcementPointSettings,
    HostSettings,
    OperatorSettings,
    PasswordSignIn,
    PersonSettings,
    PolicySettings,
    SessionSettings,
    SignInSettings,
    TokenSettings,
    ToolSettings,
    UpstreamSettings,
    UriBindingSettings,
)

__all__ = [
    "AccessSettings",
    "ClientDocument",
    "ClientDocumentSettings",
    "ClientSettings",
    "ConsentSettings",
    "EgressSettings",
    "EnforcementPointSettings",
    "GitSettings",
    "HostSettings",
    "HttpSettings",
    "HttpToolSettings",
    "Limits",
    "MailSettings",
    "OpaSettings",
    "OperatorSettings",
    "PasswordSignIn",
    "PersonSettings",
    "PolicySettings",
    "Problem",
    "RateLimits",
    "RelationsSettings",
    "ServerSettings",
    "SessionSettings",
    "Settings",
    "SettingsError",
    "SignInSettings",
    "TokenSettings",
    "ToolSettings",
    "UpstreamSettings",
    "UriBindingSettings",
    "describe_settings",
    "load",
    "parse",
    "read_document",
    "suggestion",
]
