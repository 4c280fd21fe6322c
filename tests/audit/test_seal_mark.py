"""A trail whose heads were ever sealed does not pass for one of an earlier version."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from safeconduct.audit import mark_path, segments, verify
from safeconduct.audit.record import Link, sealed
from safeconduct.audit.seal_mark import Mark, MarkKey, mark_at
from tests.audit.events import call, written
from tests.audit.test_tampering import (
    age,
    crew,
    cut,
    kinds,
    opened,
    plain_head,
    proven,
    record,
    respell,
)
from tests.fixtures.keys import ROOT_KEY

__all__ = ["crew"]
pytestmark = pytest.mark.requirement("L-16")


def respell_last(directory: Path, *, keep: int) -> None:
    """Cut a chain, give its last record the version of an earlier one, and write a plain head."""
    cut(directory, keep=keep)
    path = segments(directory)[-1].path
    lines = path.read_bytes().splitlines(keepends=True)
    body = lines[-1].rpartition(b',"hash":"')[0].replace(b'{"v":2', b'{"v":1', 1)
    text, digest = sealed(body)
    path.write_bytes(b"".join([*lines[:-1], text]))
    last = json.loads(text)
    link = Link(chain=last["chain"], n=last["n"], hash=digest)
    (directory / "0.head").write_bytes(plain_head(link))


@pytest.fixture
def pair(directory: Path) -> Path:
    """The trail of two workers whose last records, which name each other's heads, are cut off."""
    with opened(directory) as first, opened(directory, "1") as second:
        for number in range(4):
            first.append(call(number))
            second.append(call(number))
    for writer in "01":
        cut(directory, writer, keep=3)
    return directory


def test_a_whole_trail_that_was_spelled_anew_is_found_before_the_next_start_and_after(
    pair: Path,
) -> None:
    for writer in "01":
        respell(pair, writer)

    assert kinds(pair) == ["head", "head"]
    assert not any("written by an earlier version" in each for each in proven(pair).unproven)
    assert [problem.kind for problem in verify(pair).problems] == ["head", "head"]
    with opened(pair), opened(pair, "1") as second:
        second.append(call())
    assert kinds(pair) == ["head", "head"]
    wrong = [each["detail"] for each in written(pair) if each["kind"] == "audit.recovered"]
    assert wrong == [{"head": "unsealed"}] * 2


def test_other_contents_in_the_spelling_of_an_earlier_version_are_found(directory: Path) -> None:
    record(directory, 1, 2, 3)
    path = segments(directory)[0].path
    path.write_bytes(path.read_bytes().replace(b'"allow"', b'"deny"'))
    respell(directory)

    assert kinds(directory) == ["head"]


@pytest.mark.parametrize("lock", ["left", "emptied"])
def test_one_record_of_an_earlier_version_at_the_end_does_not_age_a_chain(
    directory: Path, lock: str
) -> None:
    record(directory, 1, 2, 3, 4, 5)
    respell_last(directory, keep=3)
    mark_path(directory).unlink()
    if lock == "emptied":
        (directory / "0.lock").write_bytes(b"")

    assert kinds(directory) == ["older_version", "head"]
    record(directory, 6)
    assert kinds(directory) == ["older_version", "head"]


def test_a_lock_with_a_chain_makes_a_plain_head_a_problem(directory: Path) -> None:
    record(directory, 1, 2, 3)
    lock = (directory / "0.lock").read_bytes()
    age(directory)
    assert kinds(directory) == []

    (directory / "0.lock").write_bytes(lock)

    assert kinds(directory) == ["head"]


def test_a_writer_of_an_earlier_version_beside_newer_ones_is_no_tampering(pair: Path) -> None:
    directory = pair
    remaining = [age(directory, writer) for writer in "01"][1]
    record(directory, 5)

    assert kinds(directory) == []
    mark = mark_at(mark_path(directory))
    assert mark is not None
    assert mark.old == (remaining,)
    record(directory, 6, writer="1")
    assert kinds(directory) == []
    assert [each["detail"] for each in written(directory) if each["kind"] == "audit.recovered"] == [
        {"head": "old"},
        {"head": "old"},
    ]


@pytest.mark.parametrize(
    "forge",
    [
        lambda line: line.replace(b'"allow"', b'"deny"'),
        lambda line: line.replace(b"alice", b"mallo"),
    ],
)
def test_old_records_of_a_writer_that_never_started_again_are_held_to_the_mark(
    pair: Path, forge: Callable[[bytes], bytes]
) -> None:
    directory = pair
    for writer in "01":
        age(directory, writer)
    record(directory, 5)
    path = directory / "1-00000001.jsonl"
    path.write_bytes(forge(path.read_bytes()))
    respell(directory, "1")

    assert "head" in kinds(directory)
    record(directory, 6, writer="1")
    assert "head" in kinds(directory)


def test_an_old_end_that_was_sealed_is_not_believed_again(directory: Path) -> None:
    record(directory, 1, 2, 3)
    end = age(directory)
    record(directory, 4)
    segments(directory)[-1].path.unlink()
    (directory / "0.head").write_bytes(plain_head(end))
    (directory / "0.lock").write_bytes(b"")

    assert set(kinds(directory)) == {"head"}
    record(directory, 5)
    assert kinds(directory) == ["head"]


def test_an_old_end_that_another_start_had_listed_is_not_believed_once_it_was_sealed(
    pair: Path,
) -> None:
    end = [age(pair, writer) for writer in "01"][1]
    record(pair, 5)
    record(pair, 6, writer="1")
    assert kinds(pair) == []
    (pair / "1-00000002.jsonl").unlink()
    (pair / "1.head").write_bytes(plain_head(end))
    (pair / "1.lock").write_bytes(b"")

    assert kinds(pair) == ["head"]
    record(pair, 7, writer="1")
    assert kinds(pair) == ["head"]


def test_an_old_writer_alone_is_no_trail_of_an_earlier_version(directory: Path) -> None:
    with opened(directory, "1") as old:
        old.append(call())
    age(directory, "1")
    record(directory, 5)
    assert kinds(directory) == []

    for path in directory.glob("0*"):
        path.unlink()

    assert kinds(directory) == ["head"]


def test_a_new_writer_in_the_spelling_of_an_earlier_version_is_found(directory: Path) -> None:
    record(directory, 1)
    for path in list(directory.glob("0*")):
        (directory / path.name.replace("0", "7", 1)).write_bytes(path.read_bytes())
    respell(directory, "7")

    assert "head" in kinds(directory)


@pytest.mark.parametrize("what", ["altered", "of-another-key", "no-mark"])
def test_a_mark_that_was_altered_is_found_and_stays_a_problem(directory: Path, what: str) -> None:
    record(directory, 1, 2, 3)
    path, end = mark_path(directory), respell(directory)
    mark = Mark(since="2026", old=(end,))
    if what == "altered":
        path.write_bytes(msgspec.json.encode(mark))
    elif what == "of-another-key":
        path.write_bytes(msgspec.json.encode(MarkKey(b"x" * 32).sealed(mark)))
    else:
        path.write_bytes(b"{}")

    assert "mark" in kinds(directory)
    record(directory, 4)
    assert "head" in kinds(directory)
    assert written(directory)[3]["detail"] == {
        "head": "unsealed",
        "mark": "unreadable" if what == "no-mark" else "forged",
    }


def test_without_a_mark_it_is_said_that_a_rewritten_trail_would_pass(directory: Path) -> None:
    record(directory, 1, 2, 3)
    respell(directory)
    elsewhere = mark_path(directory).rename(directory.with_name("copy"))

    found = proven(directory)
    assert found.whole
    assert any("No mark beside the trail" in sentence for sentence in found.unproven)
    assert not verify(directory, root_key=ROOT_KEY, mark=elsewhere).whole


def test_a_trail_whose_heads_were_sealed_before_there_were_marks_goes_on(directory: Path) -> None:
    record(directory, 1, 2)
    mark_path(directory).unlink()
    assert kinds(directory) == []

    record(directory, 3)

    assert kinds(directory) == []
    assert all(each["kind"] == "call.intent" for each in written(directory))
    mark = mark_at(mark_path(directory))
    assert mark is not None
    assert mark.old == ()


def test_what_an_earlier_version_left_unprotected_is_said_for_good_and_an_anchor_settles_it(
    directory: Path,
) -> None:
    record(directory, 1, 2, 3)
    age(directory)
    for number in (4, 5, 6):
        record(directory, number)
        sentences = proven(directory).unproven
        assert any("Up to number 3 the records of writer 0" in each for each in sentences)

    ends = proven(directory).ends
    assert verify(directory, root_key=ROOT_KEY, anchors=ends).unproven == ()


@pytest.mark.parametrize(
    "name", ["0-00000009.jsonl", "0.head", "7.head", "7.lock", "8-00000001.jsonl"]
)
def test_a_directory_in_the_place_of_a_file_is_a_problem_beside_the_rest(
    crew: Path, name: str
) -> None:
    path = crew / name
    path.unlink(missing_ok=True)
    path.mkdir()

    found = proven(crew)

    assert (found.problems[0].kind, found.problems[0].file) == ("unreadable", name)
    assert found.records == len(written(crew))
    path.rmdir()


def test_a_pipe_or_a_dead_link_in_the_place_of_a_file_is_found_too(crew: Path) -> None:
    os.mkfifo(crew / "5.head")
    os.mkfifo(crew / "5-00000001.jsonl")
    (crew / "5.lock").symlink_to(crew / "nothing")

    assert kinds(crew) == ["unreadable"] * 3
    record(crew, 4)
    assert kinds(crew) == ["unreadable"] * 3
