"""Makes keys for those who write rules, and signs their directories."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from safeconduct.cli.failures import Failed
from safeconduct.cli.output import Out, several
from safeconduct.policy import (
    SIGNATURES,
    Bundle,
    BundleError,
    make_key,
    read_files,
    signatures,
    version_of,
)

_MOST_KEY_BYTES = 64 * 1024
_NEWEST = 2**53 - 1


def make_keys(file: Path, *, as_json: bool) -> None:
    """Write a pair of keys; nothing is replaced."""
    public = file.with_name(file.name + ".pub")
    for path in (file, public):
        if path.exists():
            raise Failed(f"{path} is there already; nothing was changed.")
    make_key(file, public)
    Out(as_json=as_json).sentence(
        f"{file} signs; keep it to yourself. {public} goes into policy.trusted_keys: "
        f"[{{file: {public}}}]",
        private=str(file),
        public=str(public),
    )


def sign(directory: Path, key: Path, *, version: int | None, as_json: bool) -> None:
    """Sign a directory's files, and write the signature beside them.

    Raises:
        Failed: If the rules could not be used, or the key cannot sign.
    """
    try:
        files = read_files(directory, everything=True)
        before = version_of(files)
        number = before + 1 if version is None else version
        if not before < number <= _NEWEST:
            raise Failed(f"The version must be above {before}, which was signed already.")
        Bundle.shipped().with_files(files)
        raw = signatures(files, _text(key), version=number)
    except BundleError as error:
        raise Failed(f"This cannot be signed: {error.public}") from error
    _replace(directory / SIGNATURES, raw)
    count = len(files) - (SIGNATURES in files)
    Out(as_json=as_json).sentence(
        f"Version {number}: {several(count, 'file')} signed in {directory / SIGNATURES}",
        version=number,
        files=sorted(files.keys() - {SIGNATURES}),
    )


def _text(key: Path) -> str:
    with key.open("rb") as file:
        raw = file.read(_MOST_KEY_BYTES)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BundleError("the key is no text") from error


def _replace(path: Path, raw: bytes) -> None:
    """Write a file; it is there whole, or as it was."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
        file.write(raw)
    os.chmod(file.name, 0o644)  # noqa: PTH101  a public file, which mkstemp made private
    os.replace(file.name, path)  # noqa: PTH105  likewise by name
