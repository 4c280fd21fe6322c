"""Secrets by reference: `{env: NAME}` and `{file: PATH}` become `Secret` values.

Nothing here puts a secret into a message. Paths are relative to the configuration file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from safeconduct.core.secrets import Secret

_MOST_BYTES = 64 * 1024


class References:
    """Resolves references and remembers what a careful reader should be told."""

    def __init__(self, *, base: Path, environ: Mapping[str, str]) -> None:
        self._base = base
        self._environ = environ
        self.warnings: list[str] = []

    def resolve(self, kind: str, target: str, path: str) -> Secret:
        """Look a secret up.

        Args:
            kind: `env` or `file`.
            target: The variable's name, or the file's path.
            path: The setting that asks, for the warning about a file everybody may read.

        Raises:
            ValueError: If it is missing, empty or not text; the message holds no secret.
        """
        if kind == "env":
            value = self._environ.get(target, "")
            if not value:
                raise ValueError("the environment variable named here is not set or empty")
            return Secret(value)
        return self._file(self._base / target, path)

    def _file(self, file: Path, path: str) -> Secret:
        try:
            raw, mode = _read(file)
            value = raw.decode("utf-8")
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else "unreadable"
            raise ValueError(f"the file named here cannot be read: {reason}") from None
        except UnicodeDecodeError:
            raise ValueError("the file named here does not hold UTF-8 text") from None
        value = value.removesuffix("\r\n" if value.endswith("\r\n") else "\n")
        if not value:
            raise ValueError("the file named here is empty")
        if mode & stat.S_IROTH:
            self.warnings.append(f"{path}: every user of this machine may read the secret's file")
        return Secret(value)


def _read(file: Path) -> tuple[bytes, int]:
    # Not blocking, or a named pipe would hold up the start for ever.
    handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as stream:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError("the file named here is not a regular file")
        raw = stream.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise ValueError("the file named here is larger than 64 KiB")
    return raw, mode
