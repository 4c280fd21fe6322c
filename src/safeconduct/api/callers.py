"""Which enforcement point asks: HTTP Basic (RFC 7617, 6749 2.3.1) or its secret as a bearer token.

Only the host's own enforcement points are looked at. An agent's access token, another host's
secret and no credentials at all get one answer. Every secret is compared, each in constant
time, so that an answer's time says nothing about which came close.
"""

from __future__ import annotations

from starlette.datastructures import Headers

from safeconduct.core.errors import Code, GatewayError
from safeconduct.core.headers import basic_of, credentials_of
from safeconduct.core.model import Value
from safeconduct.core.secrets import digest, same
from safeconduct.hosts import EnforcementPoint, Host

_LONGEST = 1024


class Stranger(GatewayError):
    """Whoever asks has not shown to be an enforcement point of this host."""

    code = Code.UNAUTHENTICATED

    def __init__(self) -> None:
        super().__init__(
            "Send the credentials of an enforcement point of this host: HTTP Basic, or its "
            "secret as a bearer token."
        )


class _Claim(Value, frozen=True):
    """What was sent; with a bearer token, the secret alone says who it is."""

    secret: str
    id: str | None = None


def point_of(host: Host, headers: Headers) -> EnforcementPoint:
    """Return the enforcement point that sent these headers.

    Raises:
        Stranger: If they are nobody's of this host.
    """
    claim = _claim(headers.getlist("authorization"))
    shown = digest(claim.secret)
    found = [
        point
        for point in host.policies.enforcement_points
        if same(shown, point.secret_digest) and claim.id in {None, point.id}
    ]
    if not found:
        raise Stranger
    return found[0]


def challenges(host: Host) -> tuple[str, str]:
    """Return the two ways to authenticate, as `WWW-Authenticate` names them (RFC 9110)."""
    realm = f'realm="{host.key} decisions"'
    return f'Basic {realm}, charset="UTF-8"', f"Bearer {realm}"


def _claim(sent: list[str]) -> _Claim:
    try:
        found = credentials_of(sent)
        if found is not None and len(found.value) <= _LONGEST:
            if found.scheme == "bearer":
                return _Claim(secret=found.value)
            if found.scheme == "basic":
                name, secret = basic_of(found.value)
                return _Claim(secret=secret, id=name)
    except ValueError as error:
        raise Stranger from error
    raise Stranger
