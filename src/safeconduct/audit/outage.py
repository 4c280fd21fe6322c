"""What is known of a trail that cannot be written, and saying so without flooding the log."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from safeconduct.core.space import Room, room_at

# Below this a record may fit that says the disk is full, and the next one not.
LEAST_BYTES = 4 * 1024 * 1024
_AGAIN_SECONDS = 10.0
_log = logging.getLogger(__name__)


class Outage:
    """Follows whether one trail can be written.

    Attributes:
        refused: Records that could not be written since the process began.
    """

    def __init__(self, directory: Path, *, needed_bytes: int) -> None:
        """Begin well.

        Args:
            directory: Where the trail is.
            needed_bytes: What it needs on the disk to go on: a segment.
        """
        self._directory = directory
        self._needed_bytes = needed_bytes
        self._reason = ""
        self._since = 0.0
        self._told = 0.0
        self._refused_before = 0
        self.refused = 0

    @property
    def under_way(self) -> bool:
        return bool(self._reason)

    def goes_on(self, error: OSError, records: int) -> None:
        """Take note of a failure that cost so many records; the log has one line in ten seconds."""
        now = time.monotonic()
        if not self._reason:
            self._since, self._told, self._refused_before = now, now - _AGAIN_SECONDS, self.refused
        self._reason = error.strerror or type(error).__name__
        self.refused += records
        if now - self._told >= _AGAIN_SECONDS:
            self._told = now
            _log.error(
                "The audit trail in %s cannot be written, so whatever has to be on record is"
                " refused: %s. Records refused so far: %d.",
                self._directory,
                self.sentence(),
                self.refused - self._refused_before,
            )

    def is_over(self) -> None:
        """Take note that a record was written."""
        if self._reason:
            self._reason = ""
            _log.warning(
                "The audit trail in %s is written again, after %.0f seconds and %d refused"
                " records.",
                self._directory,
                time.monotonic() - self._since,
                self.refused - self._refused_before,
            )

    def room(self) -> Room | None:
        """Return the room on the disk; None if it cannot be asked."""
        try:
            return room_at(self._directory, needed=self._needed_bytes)
        except OSError:
            return None

    def sentence(self) -> str:
        """Return why it cannot be written and what is missing; "" if it can as far as we know."""
        room = self.room()
        if room is not None and room.free < LEAST_BYTES:
            return f"{self._reason or 'the disk is full'} ({room})"
        return self._reason
