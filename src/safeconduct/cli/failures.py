"""Turns every refusal into one sentence and an exit code: 1 the user's error, 2 ours."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from safeconduct.core.errors import Code, GatewayError

USERS, OURS = 1, 2

# What the user cannot do anything about by typing something else.
_OURS = frozenset({Code.INTERNAL, Code.UNAVAILABLE, Code.UPSTREAM_FAILED, Code.UPSTREAM_TIMEOUT})


class Failed(Exception):
    """The command is over; its text is for the user."""

    def __init__(self, text: str, *, exit_code: int = USERS) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@contextmanager
def failing() -> Iterator[None]:
    """Turn what the gateway, the disk or the database refuses into a failure with a sentence.

    Raises:
        Failed: For everything that is not a bug.
    """
    try:
        yield
    except GatewayError as error:
        code = OURS if error.code in _OURS else USERS
        raise Failed(error.public, exit_code=code) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        # Only what the system says and the file it says it of; no text of a library's own.
        reason = os.strerror(error.errno or errno.EIO)
        where = f": {error.filename}" if isinstance(error.filename, str) else ""
        code = USERS if error.errno in _USERS_ERRORS else OURS
        raise Failed(f"{reason}{where}", exit_code=code) from error


_USERS_ERRORS = frozenset(
    {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EEXIST}
)
