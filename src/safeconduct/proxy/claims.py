"""Who a request's head claims to come from: its origin, and the token it presents, as a digest.

A claim is read once for a head and proves nothing; the gate holds it against what is known, on
every request.
"""

from __future__ import annotations

from typing import NamedTuple

from safeconduct.core.headers import credentials_of
from safeconduct.oauth import access_digest
from safeconduct.proxy.eras import Headers


class Claim(NamedTuple):
    """What the head says.

    Attributes:
        origin: Of the page that sent it; None for clients that are no pages.
        one_origin: Whether it is said once at most.
        token: Digest of the access token, or None if what is there cannot be one.
        fault: Why there is no token to look for, as a sentence; "" if there is.
        presented: Whether a bearer token was sent at all (RFC 6750 section 3.1).
    """

    origin: str | None
    one_origin: bool
    token: str | None
    fault: str = ""
    presented: bool = True


def claim_of(headers: Headers) -> Claim:
    """Read what a head claims."""
    origin, one_origin = headers.text(b"origin"), not headers.repeats(b"origin")
    header = headers.get(b"authorization")
    if headers.repeats(b"authorization"):
        return Claim(origin, one_origin, None, "The Authorization header is there twice.")
    if header is None:
        said = "Sign in first: this server needs a token."
        return Claim(origin, one_origin, None, said, presented=False)
    text = header.decode("latin-1")
    try:
        sent = credentials_of([text])
    except ValueError:
        sent = None
    if sent is not None and sent.scheme == "bearer":
        return Claim(origin, one_origin, access_digest(sent.value))
    if text.lower().startswith("bearer ") and text[7:].strip():
        return Claim(origin, one_origin, None)  # one was sent, and it cannot be ours
    said = "The Authorization header holds no bearer token."
    return Claim(origin, one_origin, None, said, presented=False)
