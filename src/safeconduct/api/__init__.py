"""For programs: decisions by the AuthZEN Authorization API 1.0, a host's rules and relations."""

from safeconduct.api.authzen import Authzen
from safeconduct.api.bundles import BundleEndpoint
from safeconduct.api.forms import IntrospectionEndpoint
from safeconduct.api.introspection import Introspection
from safeconduct.api.judging import Judge, Relations
from safeconduct.api.naming import Naming
from safeconduct.api.offers import Outcome, Overtaken, Wish
from safeconduct.api.policies import PolicyEndpoints
from safeconduct.api.records import Checks
from safeconduct.api.relations import RelationEndpoints
from safeconduct.api.reviews import ReviewEndpoints
from safeconduct.api.routes import AuthzenEndpoints
from safeconduct.api.searching import Searches
from safeconduct.api.tuples import resolved, shown, subject_of

__all__ = [
    "Authzen",
    "AuthzenEndpoints",
    "BundleEndpoint",
    "Checks",
    "Introspection",
    "IntrospectionEndpoint",
    "Judge",
    "Naming",
    "Outcome",
    "Overtaken",
    "PolicyEndpoints",
    "RelationEndpoints",
    "Relations",
    "ReviewEndpoints",
    "Searches",
    "Wish",
    "resolved",
    "shown",
    "subject_of",
]
