"""The installation's signature on a stored bundle: a row that was altered decides nothing.

Ed25519 (RFC 8032) in a compact JWS (RFC 7515), `alg` as RFC 9864 names it. The key is derived
from the installation's own (HKDF, RFC 5869 section 2.3), so every node with that key can sign
and verify and there is no second one to look after.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from safeconduct.core.canonical import canonical_bytes
from safeconduct.core.encoding import check_compact
from safeconduct.core.model import HostId
from safeconduct.policy.content import named
from safeconduct.policy.rego import BundleError

ALGORITHM = "Ed25519"
_PURPOSE = b"safeconduct policy-bundle"
_SEED_BYTES = 32


class Signer:
    """Signs and verifies what is stored."""

    def __init__(self, root_key: bytes) -> None:
        """Derive the key from 32 uniformly random bytes."""
        seed = HKDFExpand(hashes.SHA256(), _SEED_BYTES, _PURPOSE).derive(root_key)
        self._key = OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, host: HostId, digest: str) -> str:
        """Vouch for a bundle of one host; on another host the signature is worth nothing."""
        header = {"alg": ALGORITHM}
        return jws.serialize_compact(header, _said(host, digest), self._key, [ALGORITHM])

    def verify(self, host: HostId, digest: str, content: bytes, signature: str) -> None:
        """Return if these are the bytes that were signed for this host under this name.

        Raises:
            BundleError: If anything differs.
        """
        try:
            whole = check_compact(signature)
            signed = jws.deserialize_compact(whole, self._key, [ALGORITHM]).payload
        except (JoseError, ValueError) as error:
            raise BundleError("its signature is not this installation's") from error
        if signed != _said(host, digest) or named(content) != digest:
            raise BundleError("it is not what was signed")


def _said(host: HostId, digest: str) -> bytes:
    return canonical_bytes({"host": host, "bundle": digest})
