"""The authorization server of each host: clients, codes, tokens, discovery."""

from safeconduct.oauth.asks import Ask
from safeconduct.oauth.assertions import Assertions
from safeconduct.oauth.authentication import ClientAuthentication
from safeconduct.oauth.authorizations import Authorizations
from safeconduct.oauth.authorize import Asking
from safeconduct.oauth.clients import Clients
from safeconduct.oauth.documents import pinned as pinned_documents
from safeconduct.oauth.forecasts import Forecast, Forecasts, ToolForecast
from safeconduct.oauth.housekeeping import Housekeeping
from safeconduct.oauth.metadata import INTROSPECT
from safeconduct.oauth.names import shown as shown_name
from safeconduct.oauth.registration import Registrations
from safeconduct.oauth.registry import Client, set_blocked
from safeconduct.oauth.registry import every as every_client
from safeconduct.oauth.registry import remove as remove_client
from safeconduct.oauth.retirement import Retirement
from safeconduct.oauth.revocations import Revocations, end_family
from safeconduct.oauth.routes import ErrorPage, OAuthEndpoints
from safeconduct.oauth.scopes import asked, granted
from safeconduct.oauth.standing import Standings
from safeconduct.oauth.token import TokenRequests
from safeconduct.oauth.verifier import Access, Verifier, access_digest

__all__ = [
    "INTROSPECT",
    "Access",
    "Ask",
    "Asking",
    "Assertions",
    "Authorizations",
    "Client",
    "ClientAuthentication",
    "Clients",
    "ErrorPage",
    "Forecast",
    "Forecasts",
    "Housekeeping",
    "OAuthEndpoints",
    "Registrations",
    "Retirement",
    "Revocations",
    "Standings",
    "TokenRequests",
    "ToolForecast",
    "Verifier",
    "access_digest",
    "asked",
    "end_family",
    "every_client",
    "granted",
    "pinned_documents",
    "remove_client",
    "set_blocked",
    "shown_name",
]
