"""Which enforcement point asks: HTTP Basic (RFC 7617) or its secret as a bearer token.

Only the host's own enforcement points are looked at. An agent's access token, another host's
secret and no credentials at all get one answer. Every secret is compared, each in constant
time, so that an answer's time says nothing about which came close.
"""

from __future__ import annotations

import base64
import binascii

from starlette.datastructures import Headers

from safeconduct.core.errors import Code, GatewayError
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
    if len(sent) != 1 or len(sent[0]) > _LONGEST:
        raise Stranger
    scheme, _, rest = sent[0].partition(" ")
    match scheme.lower():
        case "bearer":
            return _Claim(secret=rest)
        case "basic":
            return _basic(rest)
        case _:
            raise Stranger


def _basic(encoded: str) -> _Claim:
    try:
        text = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise Stranger from error
    name, colon, secret = text.partition(":")
    if not colon:
        raise Stranger
    return _Claim(secret=secret, id=name)
