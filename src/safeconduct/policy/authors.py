"""Signatures of those who write rules: a directory is taken only as one of them left it.

`.signatures.json` has the shape OPA gives it: `{"signatures": [JWS]}`, with the files, their
digests and the algorithm in the payload. Two things are ours: digests are always over the bytes
of a file, and `version` only grows, so that what was signed once cannot come back later.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from safeconduct.core.canonical import StrictJSONError, canonical_bytes, parse
from safeconduct.core.encoding import check_compact
from safeconduct.policy.files import SIGNATURES, Files
from safeconduct.policy.rego import BundleError
from safeconduct.policy.signing import ALGORITHM

_MOST_SIGNATURES = 16
_HASH = "SHA-256"
Version = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]


class _File(msgspec.Struct, frozen=True):
    name: str
    hash: str
    algorithm: str


class _Payload(msgspec.Struct, frozen=True):
    files: tuple[_File, ...]
    version: Version


class _Signatures(msgspec.Struct, frozen=True):
    signatures: tuple[str, ...]


def public_key(text: str) -> OKPKey:
    """Read an Ed25519 public key, PEM or JWK.

    Raises:
        BundleError: If it is none; a private key is refused too, it belongs elsewhere.
    """
    key = _key(text)
    if key.is_private:
        raise BundleError("a trusted key is a private one; give the public half")
    return key


def verified(files: Files, keys: Sequence[OKPKey]) -> int:
    """Return the version of a signed directory.

    Args:
        files: Every file of the directory.
        keys: Whose signature counts; one of them must have signed exactly these files.

    Raises:
        BundleError: If none of them did.
    """
    if SIGNATURES not in files:
        raise BundleError(f"there is no {SIGNATURES}, and only signed rules are taken")
    try:
        found = msgspec.convert(parse(files[SIGNATURES]), _Signatures).signatures
    except (StrictJSONError, msgspec.ValidationError) as error:
        raise BundleError(f"{SIGNATURES}: cannot be read") from error
    signed = [
        payload
        for signature in found[:_MOST_SIGNATURES]
        for key in keys
        if (payload := _payload(signature, key)) is not None
    ]
    if not signed:
        raise BundleError(f"{SIGNATURES}: no signature is valid under a trusted key")
    present = _digests(files)
    problems = [_difference(payload, present) for payload in signed]
    versions = [payload.version for payload, each in zip(signed, problems, strict=True) if not each]
    if not versions:
        raise BundleError(f"{SIGNATURES}: {problems[0]}")
    return max(versions)


def version_of(files: Files) -> int:
    """Return the version a directory says it has, whoever signed it; 0 without one."""
    try:
        found = msgspec.convert(parse(files[SIGNATURES]), _Signatures).signatures
        payloads = [jws.extract_compact(each.encode()).payload for each in found]
        return max((msgspec.convert(parse(each), _Payload).version for each in payloads), default=0)
    except (KeyError, StrictJSONError, JoseError, ValueError, msgspec.ValidationError):
        return 0


def signatures(files: Files, key: str, *, version: int) -> bytes:
    """Sign every file; returns what `.signatures.json` is to hold.

    Args:
        files: Every file of the directory.
        key: The private key, PEM or JWK.
        version: Larger than that of any signed before.

    Raises:
        BundleError: If it is no private Ed25519 key.
    """
    private = _key(key)
    if not private.is_private:
        raise BundleError("signing needs the private key; this is the public half")
    payload = {
        "files": [
            {"name": name, "hash": found, "algorithm": _HASH}
            for name, found in sorted(_digests(files).items())
        ],
        "version": version,
    }
    signed = jws.serialize_compact(
        {"alg": ALGORITHM, "kid": private.thumbprint()},
        canonical_bytes(payload),
        private,
        [ALGORITHM],
    )
    return canonical_bytes({"signatures": [signed]}) + b"\n"


def make_key(private: Path, public: Path) -> None:
    """Make a pair of keys; only the owner may read the private one. Nothing is replaced.

    Raises:
        FileExistsError: If one of the files is there already.
    """
    key = OKPKey.generate_key("Ed25519")
    for path, mode, text in (
        (private, 0o600, key.as_pem(private=True)),
        (public, 0o644, key.as_pem(private=False)),
    ):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(text)


def _key(text: str) -> OKPKey:
    try:
        found = parse(text.encode()) if text.lstrip().startswith("{") else text
        key = OKPKey.import_key(found)
    except (JoseError, StrictJSONError, ValueError, TypeError, KeyError) as error:
        raise BundleError("a key is no Ed25519 key in PEM or JWK") from error
    if key.curve_name != ALGORITHM:
        raise BundleError("a key is no Ed25519 key in PEM or JWK")
    return key


def _payload(signature: str, key: OKPKey) -> _Payload | None:
    try:
        found = jws.deserialize_compact(check_compact(signature), key, [ALGORITHM])
        return msgspec.convert(parse(found.payload), _Payload)
    except (JoseError, StrictJSONError, ValueError, msgspec.ValidationError):
        return None


def _digests(files: Files) -> dict[str, str]:
    return {
        name: hashlib.sha256(raw).hexdigest() for name, raw in files.items() if name != SIGNATURES
    }


def _difference(payload: _Payload, present: dict[str, str]) -> str:
    """Say what was not signed like this, or ""."""
    signed = {each.name: each.hash for each in payload.files if each.algorithm == _HASH}
    if len(signed) != len(payload.files):
        return f"a file is named twice, or its digest is not {_HASH}"
    for name in sorted({*signed, *present}):
        if name not in present:
            return f"{name} was signed and is missing"
        if name not in signed:
            return f"{name} was not signed"
        if signed[name] != present[name]:
            return f"{name} is not what was signed"
    return ""
