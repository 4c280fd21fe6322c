"""How the authorization server says no: to clients in OAuth's words, to people on a page.

RFC 6749 sections 4.1.2.1 and 5.2. Until client and redirect address are proven, nothing is
ever sent there: such a refusal is `Untrusted` and ends on our own page.
"""

from __future__ import annotations

from safeconduct.core.errors import Code, GatewayError


class OAuthRefused(GatewayError):
    """A refusal with an OAuth error code.

    Attributes:
        error: The registered code, such as `invalid_grant`.
        status: HTTP status at the endpoints that answer with JSON.
        challenge: Value of WWW-Authenticate, or "".
    """

    code = Code.INVALID_PARAMS

    def __init__(self, error: str, public: str, *, status: int = 400, challenge: str = "") -> None:
        super().__init__(public)
        self.error = error
        self.status = status
        self.challenge = challenge


class Untrusted(GatewayError):
    """The request names no client, or no address to trust with an answer, so it ends here."""

    code = Code.INVALID_PARAMS

    def __init__(self, title: str, public: str, *, status: int = 400) -> None:
        super().__init__(public)
        self.title = title
        self.status = status


def invalid_client(*, basic: bool) -> OAuthRefused:
    """One answer for unknown client, wrong secret and wrong method (RFC 6749 section 5.2).

    Clients that see it register anew by themselves, so its form must not vary.
    """
    return OAuthRefused(
        "invalid_client",
        "the client is not known here or did not authenticate as registered",
        status=401,
        challenge='Basic realm="token", charset="UTF-8"' if basic else "",
    )


def invalid_grant(why: str) -> OAuthRefused:
    return OAuthRefused("invalid_grant", why)
