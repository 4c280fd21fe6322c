"""private_key_jwt, for clients whose document publishes keys."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from safeconduct.core.encoding import from_base64url, to_base64url
from safeconduct.oauth.assertions import TYPE
from tests.oauth.world import ORIGIN, VERIFIER, WEB, World

AGENT = "https://agent.example/client.json"
JWKS = "https://agent.example/jwks.json"


def b64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def pem_of(bits: int) -> bytes:
    key = rsa.generate_private_key(65537, bits)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Signer:
    """A client that keeps a private key and publishes the public one."""

    def __init__(self, world: World, *, methods: list[str] | None = None) -> None:
        self.world = world
        self.key = ECKey.generate_key("P-256", parameters={"kid": "k1", "alg": "ES256"})
        world.web.publish(JWKS, KeySet([self.key]).as_dict(private=False))
        said: dict[str, object] = {
            "client_id": AGENT,
            "client_name": "Agent",
            "redirect_uris": [WEB],
            "token_endpoint_auth_method": "private_key_jwt",
            "jwks_uri": JWKS,
        }
        if methods:
            said["token_endpoint_auth_methods_supported"] = methods
        world.web.publish(AGENT, said)
        self.count = 0
        self.kid = "k1"

    def assertion(self, *, key: Any = None, alg: str = "ES256", **claims: object) -> str:
        self.count += 1
        now = int(self.world.clock.seconds())
        said = {
            "iss": AGENT,
            "sub": AGENT,
            "aud": ORIGIN,
            "iat": now,
            "exp": now + 60,
            "jti": f"j{self.count}",
        } | claims
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode({"alg": alg, "kid": self.kid}, said, key or self.key, algorithms=[alg])

    async def redeem(self, assertion: str | None, **said: str | None) -> tuple[int, str | None]:
        code = await self.world.code(AGENT, redirect_uri=WEB)
        form: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": VERIFIER,
            "redirect_uri": WEB,
            "client_assertion": assertion,
            "client_assertion_type": TYPE if assertion else None,
        }
        answer = await self.world.post("/oauth/token", **(form | said))
        return answer.status_code, answer.json().get("error")


@pytest.mark.requirement("AS-01", "AS-16")
@pytest.mark.parametrize(
    "audience", [ORIGIN, f"{ORIGIN}/oauth/token", [ORIGIN, "https://x.example"]]
)
async def test_an_assertion_signed_with_the_documents_key_proves_the_client(
    world: World, audience: object
) -> None:
    """RFC 7523 section 3. The request has no client_id: the assertion names it."""
    signer = Signer(world)
    assert await signer.redeem(signer.assertion(aud=audience)) == (200, None)
    assert await signer.redeem(signer.assertion(aud=audience), client_id=AGENT) == (200, None)
    assert world.web.asked.count(JWKS) == 1


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://other.test"},
        {"aud": f"{ORIGIN}/"},
        {"aud": None},
        {"exp": None},
        {"exp": 1},
        {"exp": 4_000_000_000},
        {"exp": "soon"},
        {"jti": None},
        {"jti": 7},
        {"iss": "https://evil.example/client.json"},
        {"iss": None},
        {"sub": None},
        {"sub": "https://evil.example/client.json"},
        {"nbf": 4_000_000_000},
    ],
)
async def test_an_assertion_that_says_anything_else_proves_nothing(
    world: World, claims: dict[str, object]
) -> None:
    """Pitfall 23."""
    signer = Signer(world)
    assert await signer.redeem(signer.assertion(**claims)) == (401, "invalid_client")


async def test_an_assertion_works_once(world: World) -> None:
    """Pitfall 23."""
    signer = Signer(world)
    assertion = signer.assertion()
    assert await signer.redeem(assertion) == (200, None)
    assert await signer.redeem(assertion) == (401, "invalid_client")


async def test_only_the_documents_asymmetric_keys_count(world: World) -> None:
    """Pitfall 23: alg none and HS256, another key under the same kid, no key at all."""
    signer = Signer(world)
    stranger = ECKey.generate_key("P-256", parameters={"kid": "k1"})
    symmetric = OctKey.import_key("k" * 32)
    rsa = RSAKey.generate_key(2048, parameters={"kid": "k1"})
    head, body, _ = signer.assertion().split(".")
    for assertion in (
        signer.assertion(key=stranger),
        signer.assertion(key=symmetric, alg="HS256"),
        signer.assertion(key=rsa, alg="RS256"),
        f"eyJhbGciOiJub25lIn0.{body}.",
        f"{head}.{body}.",
        "x.y.z",
        f"{b64('[' * 1200)}.{body}.x",
        f"{head}.{b64('[' * 1200)}.x",
        "é",
    ):
        assert await signer.redeem(assertion) == (401, "invalid_client")


@pytest.mark.filterwarnings("ignore:Key size should be")  # at the signer
async def test_a_short_rsa_key_proves_nothing(world: World) -> None:
    """Pitfall 23; RFC 7518 section 3.3."""
    signer = Signer(world)
    for bits, zeros, answer in (
        (2048, 0, (200, None)),
        (2048, 8, (200, None)),
        (2047, 0, (401, "invalid_client")),
        (2047, 8, (401, "invalid_client")),
        (1024, 0, (401, "invalid_client")),
        (1024, 128, (401, "invalid_client")),
    ):
        key = RSAKey.import_key(pem_of(bits), {"kid": "k1"})
        (public,) = KeySet([key]).as_dict(private=False)["keys"]
        modulus = b"\0" * zeros + from_base64url(public["n"])
        world.web.publish(JWKS, {"keys": [{**public, "n": to_base64url(modulus)}]})
        world.advance(hours=1)  # our copy of the keys is not fresh any more
        assert await signer.redeem(signer.assertion(key=key, alg="RS256")) == answer


async def test_a_new_key_is_looked_for_but_not_at_every_request(world: World) -> None:
    signer = Signer(world)
    assert await signer.redeem(signer.assertion()) == (200, None)
    signer.key = ECKey.generate_key("P-256", parameters={"kid": "k2", "alg": "ES256"})
    signer.kid = "k2"
    world.web.publish(JWKS, KeySet([signer.key]).as_dict(private=False))

    assert await signer.redeem(signer.assertion()) == (401, "invalid_client")
    assert world.web.asked.count(JWKS) == 1
    world.advance(seconds=60)
    assert await signer.redeem(signer.assertion()) == (200, None)
    assert world.web.asked.count(JWKS) == 2


async def test_the_type_of_the_assertion_and_the_client_must_agree(world: World) -> None:
    """Pitfall 22."""
    signer = Signer(world)
    wrong_type = await signer.redeem(signer.assertion(), client_assertion_type="saml")
    assert wrong_type == (401, "invalid_client")
    wrong_client = await signer.redeem(signer.assertion(), client_id="other")
    assert wrong_client == (401, "invalid_client")
    two = await signer.redeem(signer.assertion(), client_id=AGENT, client_secret="x")
    assert two == (400, "invalid_request")


async def test_none_is_accepted_only_where_the_document_lists_it(world: World) -> None:
    strict = Signer(world)
    assert await strict.redeem(None, client_id=AGENT) == (401, "invalid_client")
    world.advance(hours=1)
    lenient = Signer(world, methods=["none", "private_key_jwt"])
    assert await lenient.redeem(None, client_id=AGENT) == (200, None)
    assert await lenient.redeem(lenient.assertion()) == (200, None)


async def test_without_the_keys_nobody_is_proven(world: World) -> None:
    signer = Signer(world)
    del world.web.documents[JWKS]
    assert await signer.redeem(signer.assertion()) == (401, "invalid_client")
    world.web.documents[JWKS] = (b"[]", None)
    assert await signer.redeem(signer.assertion()) == (401, "invalid_client")
    world.web.documents[JWKS] = (b'{"keys":' + b"[" * 5000, None)
    assert await signer.redeem(signer.assertion()) == (401, "invalid_client")
    world.web.publish(JWKS, {"keys": "x"})
    assert await signer.redeem(signer.assertion()) == (401, "invalid_client")


@pytest.mark.parametrize(
    "other",
    [{"kty": "XYZ", "kid": "k0"}, {"kty": "RSA", "kid": "k0"}, {"kid": "k0"}, {}, 7, None, "k",
     {"kty": "EC", "crv": "P-999", "x": "a", "y": "b"}],
    ids=str,
)  # fmt: skip
async def test_a_key_that_cannot_be_used_takes_no_other_with_it(world: World, other: Any) -> None:
    """RFC 7517 section 5: keys of a kind that is not understood are ignored, and not the set."""
    signer = Signer(world)
    good = KeySet([signer.key]).as_dict(private=False)["keys"]
    world.web.publish(JWKS, {"keys": [other, *good]})

    assert await signer.redeem(signer.assertion()) == (200, None)

    world.web.publish(JWKS, {"keys": [other]})
    world.clock.advance(timedelta(days=1))
    assert (await signer.redeem(signer.assertion()))[0] == 401
