"""Decisions for enforcement points outside: the AuthZEN Authorization API 1.0."""

from safeconduct.api.authzen import Authzen
from safeconduct.api.judging import Judge, Relations
from safeconduct.api.naming import Naming
from safeconduct.api.records import Checks
from safeconduct.api.routes import AuthzenEndpoints
from safeconduct.api.searching import Searches

__all__ = [
    "Authzen",
    "AuthzenEndpoints",
    "Checks",
    "Judge",
    "Naming",
    "Relations",
    "Searches",
]
