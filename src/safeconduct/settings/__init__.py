"""The configuration file: one YAML text in, frozen and checked values out."""

from safeconduct.settings.describe import describe_settings
from safeconduct.settings.git import GitSettings
from safeconduct.settings.loading import load, parse
from safeconduct.settings.model import (
    AccessSettings,
    ClientDocument,
    ClientDocumentSettings,
    ClientSettings,
    ConsentSettings,
    EnforcementPointSettings,
    HostSettings,
    Limits,
    MailSettings,
    OperatorSettings,
    PasswordSignIn,
    PersonSettings,
    PolicySettings,
    RateLimits,
    ServerSettings,
    SessionSettings,
    Settings,
    SignInSettings,
    TokenSettings,
    ToolSettings,
    UpstreamSettings,
)
from safeconduct.settings.problems import Problem, SettingsError

__all__ = [
    "AccessSettings",
    "ClientDocument",
    "ClientDocumentSettings",
    "ClientSettings",
    "ConsentSettings",
    "EnforcementPointSettings",
    "GitSettings",
    "HostSettings",
    "Limits",
    "MailSettings",
    "OperatorSettings",
    "PasswordSignIn",
    "PersonSettings",
    "PolicySettings",
    "Problem",
    "RateLimits",
    "ServerSettings",
    "SessionSettings",
    "Settings",
    "SettingsError",
    "SignInSettings",
    "TokenSettings",
    "ToolSettings",
    "UpstreamSettings",
    "describe_settings",
    "load",
    "parse",
]
