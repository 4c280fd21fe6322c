"""Bytes as text and back, in exactly one spelling (RFC 4648 sections 3.5, 4 and 5).

Base64 has room for several texts of the same bytes: unused bits of the last character, `+/` for
`-_`, padding or none, blanks in between. Whoever altered a sealed or signed text would be
believed now and then, so that here only the text comes back that was given out. This is the one
module that decodes; the others ask it.
"""

from __future__ import annotations

import binascii

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_PLAIN = bytes.maketrans(b"-_", b"+/")
_SEGMENTS = 3  # of a compact JWS: header, payload, signature (RFC 7515 section 3.1)


class NotOneSpelling(ValueError):
    """The text is not the one spelling of any bytes."""


def to_base64(raw: bytes) -> str:
    """Return the usual alphabet, padded."""
    return binascii.b2a_base64(raw, newline=False).decode()


def from_base64(text: str) -> bytes:
    """Read the usual alphabet, padded.

    Raises:
        NotOneSpelling: If `to_base64` would not have written this text.
    """
    return _read(text, url_safe=False)


def to_base64url(raw: bytes) -> str:
    """Return the alphabet for addresses, without padding."""
    return binascii.b2a_base64(raw, newline=False).translate(_URL_SAFE, b"=").decode()


def from_base64url(text: str) -> bytes:
    """Read the alphabet for addresses, without padding.

    Raises:
        NotOneSpelling: If `to_base64url` would not have written this text.
    """
    return _read(text, url_safe=True)


def check_compact(jws: str) -> str:
    """Return a compact JWS whose segments are spelled the one way; that it is signed is unsaid.

    Raises:
        NotOneSpelling: If it could be written differently and would still verify.
    """
    segments = jws.split(".")
    if len(segments) != _SEGMENTS:
        raise NotOneSpelling("a compact JWS has three segments")
    for segment in segments:
        from_base64url(segment)
    return jws


def _read(text: str, *, url_safe: bool) -> bytes:
    try:
        sent = text.encode("ascii")
        padded = sent.translate(_PLAIN) + b"=" * (-len(sent) % 4) if url_safe else sent
        raw = binascii.a2b_base64(padded)
    except ValueError as error:
        raise NotOneSpelling("the text is not Base64") from error
    written = binascii.b2a_base64(raw, newline=False)
    # The decoder passes over what it does not know; writing the bytes again finds all of it.
    if (written.translate(_URL_SAFE, b"=") if url_safe else written) != sent:
        raise NotOneSpelling("the text is not the one spelling of its bytes")
    return raw
