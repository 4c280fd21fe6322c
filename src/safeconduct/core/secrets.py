"""Secrets: made, kept out of sight, compared in constant time, sealed for a round trip.

Only digests of handles are stored. Sealing is AES-256-GCM (NIST SP 800-38D) with the
purpose and its binding as additional data, so that a sealed value moved to another
owner does not open.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from safeconduct.core.encoding import from_base64url, to_base64url

_NONCE_BYTES = 12
_KEY_BYTES = 32
ROOT_KEY_BYTES = 32  # of the key that an installation derives all others from


class Secret:
    """A string that does not show itself in logs, errors or reprs."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text itself; call this only where it leaves the process."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(...)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return same(self._value, other._value)

    def __hash__(self) -> int:
        return hash(digest(self._value))


def mint(prefix: str, *, entropy_bytes: int = 32) -> Secret:
    """Make a new opaque token.

    Args:
        prefix: Short, greppable tag that names the kind, such as "sc_rt" for a refresh
            token; secret scanners look for it.
        entropy_bytes: Random bytes in the token. 32 bytes is 256 bits; RFC 6749
            section 10.10 asks for a guessing probability of at most 2^-128, and
            recommends 2^-160.

    Returns:
        `prefix`, an underscore and the random part in URL-safe base64.

    Raises:
        ValueError: If `entropy_bytes` is below 20 (160 bits).
    """
    if entropy_bytes < 20:
        raise ValueError("a token needs at least 20 random bytes")
    return Secret(f"{prefix}_{secrets.token_urlsafe(entropy_bytes)}")


def new_id(prefix: str) -> str:
    """Make an identifier: unguessable enough not to collide, but no secret (96 bits)."""
    return f"{prefix}_{secrets.token_hex(12)}"


def digest(value: str) -> str:
    """Return SHA-256 of a handle in hex; the only form in which handles are stored.

    The handles carry 160 bits or more, so no salt or stretching is needed.
    """
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def same(left: str, right: str) -> bool:
    """Compare two texts in constant time; any Unicode is welcome."""
    return hmac.compare_digest(
        left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass")
    )


class SealError(Exception):
    """A sealed value was changed, belongs to somebody else, or was sealed under another key."""


class Sealer:
    """Seals small values for a trip through hands we do not trust.

    One derived key per purpose (HKDF-SHA256, RFC 5869 section 2.3), so that a value
    sealed for one purpose never opens for another.
    """

    def __init__(self, root_key: bytes, *, purpose: str) -> None:
        """Derive the purpose's key.

        Args:
            root_key: 32 uniformly random bytes.
            purpose: Fixed text such as "transport-session".
        """
        if len(root_key) != ROOT_KEY_BYTES:
            raise ValueError("the root key has 32 bytes")
        info = b"safeconduct " + purpose.encode()
        aead = AESGCM(HKDFExpand(hashes.SHA256(), _KEY_BYTES, info).derive(root_key))
        self._encrypt, self._decrypt = aead.encrypt, aead.decrypt

    def seal(self, plain: bytes, *, bound_to: bytes) -> str:
        """Encrypt and authenticate; the result is URL-safe base64 without padding."""
        nonce = os.urandom(_NONCE_BYTES)
        return to_base64url(nonce + self._encrypt(nonce, plain, bound_to))

    def open(self, sealed: str, *, bound_to: bytes) -> bytes:
        """Return what was sealed.

        Raises:
            SealError: If the text is not ours, was altered or is bound to something else.
        """
        try:
            raw = from_base64url(sealed)
            return self._decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], bound_to)
        except (ValueError, InvalidTag) as error:
            raise SealError("the sealed value does not open") from error
