from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from safeconduct.audit import Link, Trail, segments, verify
from safeconduct.audit.record import sealed
from safeconduct.core.clock import ManualClock
from tests.audit.events import call, written
from tests.fixtures.keys import ROOT_KEY

pytestmark = pytest.mark.requirement("L-16")

Lines = list[bytes]


@pytest.fixture
def full(directory: Path) -> Path:
    """A trail of three segments with four records each."""
    for part in range(3):
        trail = Trail(directory, clock=ManualClock(), root_key=ROOT_KEY)
        trail.open()
        for number in range(4):
            trail.append(call(part * 4 + number + 1))
        trail.close()
    return directory


def change(directory: Path, segment: int, edit: Callable[[Lines], Lines]) -> None:
    path = segments(directory)[segment].path
    path.write_bytes(b"".join(edit(path.read_bytes().splitlines(keepends=True))))


def forge(line: bytes) -> bytes:
    """Change a record and give it a hash that fits, as somebody who knows the form would."""
    body = line.replace(b"alice", b"mallo").rpartition(b',"hash":"')[0]
    return sealed(body)[0]


def identifier(directory: Path, n: int) -> str:
    return str(next(record["id"] for record in written(directory) if record["n"] == n))


def test_an_untouched_trail_is_whole(full: Path) -> None:
    verification = verify(full)

    assert verification.whole
    assert (verification.records, verification.segments) == (12, 3)
    (end,) = verification.ends
    assert end.n == 12


@pytest.mark.parametrize(
    ("segment", "edit", "kind", "line", "n"),
    [
        (1, lambda x: [x[0], x[1].replace(b"alice", b"mallo"), *x[2:]], "altered", 2, 6),
        (1, lambda x: [x[0], forge(x[1]), *x[2:]], "broken_link", 3, 7),
        (1, lambda x: [x[0], *x[2:]], "missing", 2, 7),
        (1, lambda x: [x[0], b"not json\n", *x[2:]], "unreadable", 2, None),
        (1, lambda x: [x[0], b"{}\n", *x[2:]], "unreadable", 2, None),
        (1, lambda x: [x[0], b"[" * 100_000 + b"\n", *x[2:]], "unreadable", 2, None),
        (1, lambda x: [*x[:2], x[1], *x[2:]], "out_of_order", 3, 6),
        (0, lambda x: x[1:], "missing_start", 1, 2),
        (2, lambda x: [*x[:3], forge(x[3])], "forged", 4, 12),
        (2, lambda x: [*x[:3], x[3][:-5]], "torn", 4, None),
    ],
    ids=[
        "altered",
        "forged-hash",
        "removed",
        "text",
        "no-record",
        "deep",
        "twice",
        "first-removed",
        "last-forged",
        "torn",
    ],
)
def test_what_was_done_to_a_record_is_found_where_it_was_done(
    full: Path, segment: int, edit: Callable[[Lines], Lines], kind: str, line: int, n: int | None
) -> None:
    names = {number: identifier(full, number) for number in range(1, 13)}
    change(full, segment, edit)

    problem = verify(full).problems[0]

    assert (problem.kind, problem.line) == (kind, line)
    assert problem.file == segments(full)[segment].path.name
    assert problem.id == (names[n] if n else None)


def test_an_altered_record_is_one_problem_and_not_two(full: Path) -> None:
    change(full, 1, lambda x: [x[0], x[1].replace(b"alice", b"mallo"), *x[2:]])

    assert [problem.kind for problem in verify(full).problems] == ["altered"]


def test_a_record_removed_behind_an_altered_one_is_found_too(full: Path) -> None:
    change(full, 1, lambda x: [x[0], x[1].replace(b"alice", b"mallo"), x[3]])

    assert [problem.kind for problem in verify(full).problems] == ["altered", "missing"]


def test_records_that_changed_places_are_found(full: Path) -> None:
    change(full, 1, lambda x: [x[0], x[2], x[1], x[3]])

    kinds = [problem.kind for problem in verify(full).problems]
    assert kinds == ["missing", "out_of_order", "missing"]


@pytest.mark.parametrize(("segment", "kind"), [(0, "missing_start"), (1, "missing_segment")])
def test_a_removed_segment_is_found(full: Path, segment: int, kind: str) -> None:
    segments(full)[segment].path.unlink()

    (problem,) = verify(full).problems
    assert problem.kind == kind


def test_a_segment_cut_short_is_found_in_the_middle_and_at_the_end(full: Path) -> None:
    change(full, 1, lambda x: x[:2])
    assert [problem.kind for problem in verify(full).problems] == ["missing"]

    change(full, 2, lambda x: x[:2])
    assert [problem.kind for problem in verify(full).problems] == ["missing", "missing_end"]


def test_a_last_segment_that_vanished_is_found_by_the_head(full: Path) -> None:
    segments(full)[2].path.unlink()

    (problem,) = verify(full).problems
    assert (problem.kind, problem.file) == ("missing_end", "0.head")


def test_a_whole_chain_that_vanished_is_found_by_the_head(full: Path) -> None:
    for file in segments(full):
        file.path.unlink()

    assert [problem.kind for problem in verify(full).problems] == ["missing_end"]


def test_a_removed_head_is_found(full: Path) -> None:
    (full / "0.head").unlink()

    assert [problem.kind for problem in verify(full).problems] == ["head"]


def test_a_record_of_another_chain_is_found(full: Path, tmp_path: Path) -> None:
    other = Trail(tmp_path / "other", clock=ManualClock(), root_key=ROOT_KEY)
    other.open()
    other.append(call())
    other.close()
    stranger = segments(tmp_path / "other")[0].path.read_bytes()
    change(full, 2, lambda x: [*x, stranger])

    assert [problem.kind for problem in verify(full).problems] == ["foreign"]


def test_an_anchor_kept_elsewhere_shows_a_rewritten_history(full: Path) -> None:
    (end,) = verify(full).ends
    for path in full.iterdir():
        path.unlink()
    trail = Trail(full, clock=ManualClock(), root_key=ROOT_KEY)
    trail.open()
    trail.append(call())
    trail.close()

    assert verify(full).whole
    (problem,) = verify(full, anchors=[end]).problems
    assert (problem.kind, problem.file) == ("missing_end", "an anchor")


def test_a_beginning_removed_by_retention_is_accepted_with_its_anchor_only(full: Path) -> None:
    last = json.loads(segments(full)[0].path.read_bytes().splitlines()[-1])
    anchor = Link(chain=last["chain"], n=last["n"], hash=last["hash"])
    assert verify(full, anchors=[anchor]).whole
    segments(full)[0].path.unlink()

    assert verify(full, anchors=[anchor]).whole
    assert not verify(full).whole
    assert not verify(full, anchors=[Link(chain=anchor.chain, n=anchor.n, hash="f" * 64)]).whole
    assert not verify(full, anchors=[Link(chain=anchor.chain, n=3, hash=anchor.hash)]).whole


def test_the_problems_of_a_ruined_trail_are_bounded(full: Path) -> None:
    change(full, 1, lambda lines: lines[:1] + [b"?\n"] * 5000)

    assert len(verify(full).problems) == 1000


def test_a_trail_that_is_being_written_is_whole(directory: Path) -> None:
    trail = Trail(directory, clock=ManualClock(), root_key=ROOT_KEY, segment_bytes=20_000)
    trail.open()
    enough = threading.Event()

    def write() -> None:
        for _ in range(8_000):  # each fourth begins a segment, and a disk may be slow
            if enough.is_set():
                break
            trail.append(call(user_agent="x" * 5000))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        verifications = [verify(directory) for _ in range(10)]
    finally:
        enough.set()
        thread.join()
        trail.close()

    assert [verification.problems for verification in verifications] == [()] * 10
    assert verify(directory).whole
