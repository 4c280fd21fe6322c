"""What somebody who may write to the directory, but lacks the key, cannot do unseen."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from safeconduct.audit import Trail, Verification, mark_path, segments, verify
from safeconduct.audit.heads import HEAD_BYTES, HeadKey, head_at
from safeconduct.audit.record import GENESIS, Link, sealed
from safeconduct.core.clock import ManualClock
from tests.audit.events import CHILD_ENVIRONMENT, call, written
from tests.fixtures.keys import ROOT_KEY

pytestmark = pytest.mark.requirement("L-16")


@contextmanager
def opened(directory: Path, writer: str = "0") -> Iterator[Trail]:
    trail = Trail(directory, clock=ManualClock(), root_key=ROOT_KEY, writer=writer)
    trail.open()
    yield trail
    trail.close()


def record(directory: Path, *numbers: int, writer: str = "0") -> None:
    with opened(directory, writer) as trail:
        for number in numbers:
            trail.append(call(number))


@pytest.fixture
def crew(directory: Path) -> Path:
    """The trail of two workers and a command that came later, all ended."""
    with opened(directory) as first, opened(directory, "1") as second:
        for number in range(4):
            first.append(call(number))
            second.append(call(number))
        record(directory, 9, writer="2")
        first.witness()
    return directory


def proven(directory: Path) -> Verification:
    return verify(directory, root_key=ROOT_KEY)


def kinds(directory: Path) -> list[str]:
    return [problem.kind for problem in proven(directory).problems]


def remove(directory: Path, *patterns: str) -> None:
    for pattern in patterns:
        for path in directory.glob(pattern):
            path.unlink()


def cut(directory: Path, writer: str = "0", *, keep: int) -> Link:
    """Cut a writer's newest segment; return where its chain ends now."""
    path = [file.path for file in segments(directory) if file.writer == writer][-1]
    lines = path.read_bytes().splitlines(keepends=True)[:keep]
    path.write_bytes(b"".join(lines))
    last = json.loads(lines[-1])
    return Link(chain=last["chain"], n=last["n"], hash=last["hash"])


def plain_head(link: Link) -> bytes:
    """Spell a head as versions did that had no key for it."""
    body = f'{{"v":1,"chain":"{link.chain}","n":{link.n},"head":"{link.hash}"'
    return sealed(body.encode())[0].ljust(HEAD_BYTES)


def age(directory: Path, writer: str = "0") -> Link:
    """Turn a writer into one of a version without keys, and the installation; return its end."""
    mark_path(directory).unlink(missing_ok=True)
    return respell(directory, writer)


def respell(directory: Path, writer: str = "0") -> Link:
    """Write a writer's records, head and lock anew as a version without keys spelled them."""
    digest, lines, end = GENESIS, [], Link(chain="", n=0)
    (file,) = [file for file in segments(directory) if file.writer == writer]
    for line in file.path.read_bytes().splitlines():
        body = line.rpartition(b',"hash":"')[0].replace(b'{"v":2', b'{"v":1', 1)
        begin = body.index(b'"prev":"') + len(b'"prev":"')
        text, digest = sealed(body[:begin] + digest.encode() + body[begin + 64 :])
        lines.append(text)
    last = json.loads(lines[-1])
    end = Link(chain=last["chain"], n=last["n"], hash=digest)
    file.path.write_bytes(b"".join(lines))
    (directory / f"{writer}.head").write_bytes(plain_head(end))
    (directory / f"{writer}.lock").write_bytes(b"")
    return end


def test_the_trail_of_several_writers_is_whole_with_the_key_and_without(crew: Path) -> None:
    assert proven(crew).problems == ()
    assert verify(crew).problems == ()
    assert not any("--key" in sentence for sentence in proven(crew).unproven)
    assert any("--key" in sentence for sentence in verify(crew).unproven)


@pytest.mark.parametrize("writer", ["0", "1", "2"])
def test_a_whole_writer_that_was_removed_is_found_by_what_the_others_say(
    crew: Path, writer: str
) -> None:
    remove(crew, f"{writer}-*", f"{writer}.*")

    assert set(kinds(crew)) == {"missing_chain"}


def test_a_writer_that_was_removed_and_started_anew_is_found(crew: Path) -> None:
    remove(crew, "1-*", "1.*")
    record(crew, 1, 2, 3, 4, 5, 6, writer="1")

    assert set(kinds(crew)) == {"missing_chain"}


def test_a_writer_without_a_record_that_was_named_and_removed_is_found(directory: Path) -> None:
    with opened(directory, "1"), opened(directory) as trail:
        trail.append(call())
    assert kinds(directory) == []
    remove(directory, "1*")

    assert kinds(directory) == ["missing_chain"]


def test_locks_without_anything_else_are_found_also_after_the_next_start(crew: Path) -> None:
    remove(crew, "*.jsonl", "*.head")
    assert kinds(crew) == ["head", "head", "head", "empty"]

    record(crew, 1)

    assert "head" in kinds(crew)
    assert written(crew)[0]["detail"] == {"head": "missing"}


def test_a_lock_somebody_holds_while_its_head_is_missing_is_found_too(directory: Path) -> None:
    with opened(directory) as trail:
        trail.append(call())
        (directory / "0.head").unlink()
        found = kinds(directory)

    assert found == ["head"]


def test_a_start_that_failed_before_its_first_record_is_no_tampering(crew: Path) -> None:
    for name in ("3.lock", "3-00000001.jsonl"):
        (crew / name).touch()
    (crew / "3.head").write_bytes(bytes(HEAD_BYTES))
    assert kinds(crew) == []
    record(crew, 1, writer="3")
    assert kinds(crew) == []

    (crew / "3.head").write_bytes(bytes(HEAD_BYTES))
    assert "head" in kinds(crew)


def test_an_empty_directory_is_no_whole_trail(crew: Path) -> None:
    remove(crew, "*")

    assert kinds(crew) == ["empty"]


def test_a_head_put_right_after_a_cut_is_found_without_the_key_where_it_is_plain(
    crew: Path,
) -> None:
    (crew / "0.head").write_bytes(plain_head(cut(crew, keep=2)))

    assert "head" in [problem.kind for problem in verify(crew).problems]
    assert "head" in kinds(crew)


@pytest.mark.parametrize(
    "forged",
    [
        lambda _, link: HeadKey(b"x" * 32).line("0", link),
        lambda _, link: HeadKey(ROOT_KEY).line("1", link),
        lambda old, link: old.replace(f'"n":{4}'.encode(), f'"n":{link.n}'.encode()),
    ],
    ids=["another-key", "another-writer", "another-number"],
)
def test_a_head_put_right_after_a_cut_does_not_fit_its_seal(directory: Path, forged) -> None:  # type: ignore[no-untyped-def]  # parametrised
    record(directory, 1, 2, 3, 4)
    path = directory / "0.head"
    link = cut(directory, keep=2)
    path.write_bytes(forged(path.read_bytes(), link))

    assert kinds(directory) == ["head"]


def test_a_seal_that_does_not_fit_passes_without_the_key_and_that_is_said(directory: Path) -> None:
    record(directory, 1, 2, 3)
    (directory / "0.head").write_bytes(HeadKey(b"x" * 32).line("0", cut(directory, keep=2)))

    found = verify(directory)

    assert found.whole
    assert any("--key" in sentence for sentence in found.unproven)


@pytest.mark.parametrize("head", ["removed", "plain", "another-key"])
def test_a_start_after_a_cut_does_not_wash_it_clean(directory: Path, head: str) -> None:
    record(directory, 1, 2, 3, 4)
    path, link = directory / "0.head", cut(directory, keep=2)
    if head == "removed":
        path.unlink()
    else:
        path.write_bytes(
            plain_head(link) if head == "plain" else HeadKey(b"x" * 32).line("0", link)
        )

    record(directory, 5)

    assert kinds(directory) == ["head"]
    later = verify(directory, root_key=ROOT_KEY).ends
    record(directory, 6)
    assert verify(directory, root_key=ROOT_KEY, anchors=later).whole
    assert not verify(directory, root_key=ROOT_KEY, anchors=[link]).whole


def test_going_back_to_an_earlier_state_takes_an_anchor_to_be_found(
    directory: Path, tmp_path: Path
) -> None:
    record(directory, 1, 2)
    shutil.copytree(directory, tmp_path / "earlier")
    record(directory, 3, 4)
    ends = proven(directory).ends
    shutil.rmtree(directory)
    shutil.copytree(tmp_path / "earlier", directory)

    without = proven(directory)
    assert without.whole
    assert any("put back to an earlier state" in sentence for sentence in without.unproven)
    found = verify(directory, root_key=ROOT_KEY, anchors=ends)
    assert [problem.kind for problem in found.problems] == ["missing_end"]
    assert found.unproven == ()


def test_a_trail_of_a_version_without_keys_is_whole_and_says_what_it_lacks(
    directory: Path,
) -> None:
    record(directory, 1, 2, 3)
    age(directory)

    found = proven(directory)

    assert found.whole
    assert any("not sealed" in sentence for sentence in found.unproven)


def test_the_first_start_of_a_newer_version_seals_the_head_and_says_so(directory: Path) -> None:
    record(directory, 1, 2, 3)
    age(directory)

    record(directory, 4)

    assert [each.get("detail") for each in written(directory)][3] == {"head": "old"}
    found = proven(directory)
    assert found.whole
    assert not any("not sealed" in sentence for sentence in found.unproven)
    assert any("Up to number 3 the records of writer 0" in each for each in found.unproven)
    (directory / "0.head").write_bytes(plain_head(cut(directory, keep=1)))
    assert kinds(directory) == ["head"]
    record(directory, 5)
    assert kinds(directory) == ["head"]


def test_a_cut_below_the_first_sealed_record_is_found_by_the_lock(directory: Path) -> None:
    record(directory, 1, 2, 3)
    end = age(directory)
    record(directory, 4)
    segments(directory)[-1].path.unlink()
    (directory / "0.head").write_bytes(plain_head(end))

    record(directory, 5)

    assert kinds(directory) == ["head"]


def test_two_writers_with_nothing_to_do_come_to_rest(directory: Path) -> None:
    with opened(directory) as first, opened(directory, "1") as second:
        first.append(call())
        for _ in range(10):
            for trail in (first, second):
                trail.witness()
                trail._sync_all()
        resting = len(written(directory))
        for trail in (first, second):
            trail.witness()

        assert len(written(directory)) == resting <= 6
        second.append(call())
        second._sync_all()
        first.witness()
        assert len(written(directory)) == resting + 2


def test_what_a_crash_left_behind_its_head_is_said_and_written_down(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.audit.child", "append", str(tmp_path)],
        env=CHILD_ENVIRONMENT,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    for _ in range(50):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    head = head_at(tmp_path / "0.head")
    assert head is not None
    behind = written(tmp_path)[-1]["n"] - head.link.n

    found = verify(tmp_path, root_key=ROOT_KEY)
    assert found.whole
    assert any("right before a crash" in sentence for sentence in found.unproven) == (behind > 0)
    record(tmp_path, 1)
    recovered = [each for each in written(tmp_path) if each["kind"] == "audit.recovered"]
    assert [each["detail"].get("after_head") for each in recovered] == [behind] * (behind > 0)
    assert verify(tmp_path, root_key=ROOT_KEY).whole
