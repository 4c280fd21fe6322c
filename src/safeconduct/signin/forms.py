"""Forms come back from our own pages, in the browser that was given them.

Three things must agree: the synchronizer token (always), the browser's fetch metadata
(Fetch Metadata Request Headers, section 2.4, when sent), and Origin where that is missing.
Tokens are derived from the browser's cookie, so nothing is stored: whoever does not hold
the cookie cannot make one, and a token for one purpose is none for another.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from safeconduct.core.errors import Code, Refused
from safeconduct.core.secrets import same

_OURS = ("same-origin", "none")


def form_token(cookie: str, *, purpose: str) -> str:
    """Return the token of a form.

    Args:
        cookie: The browser's secret: its session cookie, or its form cookie while nobody
            is signed in.
        purpose: What the form does and to what, such as `consent ask_1`.
    """
    key = cookie.encode("utf-8", "surrogatepass")
    return hmac.new(key, b"form " + purpose.encode(), hashlib.sha256).hexdigest()


def is_own_form(
    headers: Mapping[str, str], *, origin: str, cookie: str | None, token: str | None, purpose: str
) -> bool:
    """Say whether a submitted form is one we gave to this browser for this purpose."""
    site = headers.get("sec-fetch-site")
    sender = headers.get("origin")
    if site is not None:
        if site not in _OURS:
            return False
    elif sender is not None and sender != origin:
        return False
    if not cookie or not token:
        return False
    return same(token, form_token(cookie, purpose=purpose))


def require_own_form(
    headers: Mapping[str, str], *, origin: str, cookie: str | None, token: str | None, purpose: str
) -> None:
    """Refuse a form that `is_own_form` does not accept.

    Raises:
        Refused: Always in that case, with what the person can do about it.
    """
    if not is_own_form(headers, origin=origin, cookie=cookie, token=token, purpose=purpose):
        raise Refused(
            Code.FORBIDDEN,
            "This form is out of date or was not sent from our page, so nothing was done. "
            "Go back, reload the page and try again.",
        )
