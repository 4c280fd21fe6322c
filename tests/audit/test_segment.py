from __future__ import annotations

import os
from pathlib import Path

import pytest

from safeconduct.audit.segment import Segment


def test_a_line_goes_behind_whole_lines_only(tmp_path: Path) -> None:
    """A part of a line that could not be cut off at once is cut off before the next one."""
    segment = Segment(tmp_path / "segment")
    segment.write(b"one\n")
    os.write(segment.fd, b"tw")
    segment._ragged = True

    segment.write(b"three\n")
    segment.close()
    assert (tmp_path / "segment").read_bytes() == b"one\nthree\n"


def test_a_segment_that_others_cut_is_not_filled_with_zeros(tmp_path: Path) -> None:
    segment = Segment(tmp_path / "segment")
    segment.write(b"one\n")
    os.truncate(tmp_path / "segment", 0)
    segment._ragged = True

    segment.write(b"two\n")
    segment.close()
    assert (tmp_path / "segment").read_bytes() == b"two\n"


def test_what_is_there_already_is_not_appended_to(tmp_path: Path) -> None:
    (tmp_path / "segment").write_bytes(b"one\n")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FileExistsError):
        Segment(tmp_path / "segment")
    with pytest.raises(OSError, match="link"):
        Segment(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()
