"""How people get in: passwords, mailed links, and what a browser holds while signed in."""

from safeconduct.signin.attempts import Attempts
from safeconduct.signin.browser import (
    FORM_COOKIE,
    SESSION_COOKIE,
    BrowserSession,
    BrowserSessions,
)
from safeconduct.signin.forms import form_token, is_own_form, require_own_form
from safeconduct.signin.links import Purpose
from safeconduct.signin.local import Local, SlowDown, Visitor
from safeconduct.signin.passwords import Passwords
from safeconduct.signin.recovery import Recovery
from safeconduct.signin.returning import own_path

__all__ = [
    "FORM_COOKIE",
    "SESSION_COOKIE",
    "Attempts",
    "BrowserSession",
    "BrowserSessions",
    "Local",
    "Passwords",
    "Purpose",
    "Recovery",
    "SlowDown",
    "Visitor",
    "form_token",
    "is_own_form",
    "own_path",
    "require_own_form",
]
