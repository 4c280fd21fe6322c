from __future__ import annotations

import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from safeconduct.audit import INSTALLATION, AuditUnavailable, Event, Trail, segments, verify
from safeconduct.core.clock import ManualClock
from safeconduct.core.errors import Code, GatewayError
from safeconduct.core.model import ConsentId, HostId, SessionId
from tests.audit.events import call, only_segment, written
from tests.fixtures.keys import ROOT_KEY


@pytest.mark.requirement("L-01", "L-03", "L-04", "L-12", "L-16", "SEC-65")
def test_a_record_names_the_human_and_the_agent_and_links_to_the_one_before(
    trail: Trail, directory: Path
) -> None:
    first = trail.append(
        call(
            client_name="Agent",
            session=SessionId("s_1"),
            consent=ConsentId("c_1"),
            rules=("ceiling",),
            bundle="b" * 64,
            decision_id="d_1",
            reason="permitted",
            facts={"ceiling": "medium"},
        )
    )
    second = trail.append(Event(kind="sign_out", host=HostId("acme")))

    one, two = written(directory)
    assert [one["id"], two["id"]] == [first, second]
    assert (one["subject"], one["client"]) == ("p_alice", "https://agent.test/client.json")
    assert (one["rules"], one["facts"]) == (["ceiling"], {"ceiling": "medium"})
    assert (one["v"], one["n"], one["prev"]) == (2, 1, "0" * 64)
    assert (two["n"], two["prev"], two["chain"]) == (2, one["hash"], one["chain"])
    assert one["ts"] == "2026-11-21T12:00:00.000000Z"
    assert set(two) == {"v", "chain", "n", "id", "ts", "prev", "kind", "host", "hash"}


@pytest.mark.requirement("L-16")
def test_the_hash_is_that_of_the_exact_bytes_before_it(trail: Trail, directory: Path) -> None:
    trail.append(call(detail={"a": 1, "hash": "not this one"}))

    line = only_segment(directory).read_bytes()
    body, _, rest = line.rpartition(b',"hash":"')
    assert rest == hashlib.sha256(body).hexdigest().encode() + b'"}\n'


def test_a_segment_that_is_full_is_followed_by_a_linked_one(
    directory: Path, clock: ManualClock
) -> None:
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY, segment_bytes=2000)
    trail.open()
    for number in range(20):
        trail.append(call(number))
    trail.close()

    files = segments(directory)
    assert len(files) > 3
    assert all(file.path.stat().st_size <= 2000 for file in files)
    assert [record["n"] for record in written(directory)] == list(range(1, 21))
    assert verify(directory).problems == ()


def test_a_record_longer_than_a_segment_has_one_of_its_own(
    directory: Path, clock: ManualClock
) -> None:
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY, segment_bytes=10)
    trail.open()
    trail.append(call(1))
    trail.append(call(2))
    trail.close()

    assert [file.path.read_bytes().count(b"\n") for file in segments(directory)] == [1, 1]


def test_a_trail_that_is_opened_again_continues_its_chain(
    directory: Path, clock: ManualClock
) -> None:
    ids = set()
    for number in range(3):
        trail = Trail(directory, clock=clock, root_key=ROOT_KEY)
        trail.open()
        ids |= {trail.append(call(number)), trail.append(call(number))}
        trail.close()

    assert len(ids) == 6
    assert len({record["chain"] for record in written(directory)}) == 1
    assert verify(directory).problems == ()


def test_opening_without_writing_leaves_no_empty_segments_behind(
    directory: Path, clock: ManualClock
) -> None:
    for _ in range(3):
        trail = Trail(directory, clock=clock, root_key=ROOT_KEY)
        trail.open()
        trail.close()

    assert len(segments(directory)) == 1
    assert verify(directory).problems == ()


def test_only_the_owner_may_read(trail: Trail, directory: Path) -> None:
    trail.append(call())

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


def test_one_slot_has_one_writer(trail: Trail, directory: Path, clock: ManualClock) -> None:
    with pytest.raises(GatewayError) as refused:
        Trail(directory, clock=clock, root_key=ROOT_KEY).open()
    assert refused.value.code is Code.CONFLICT

    other = Trail(directory, clock=clock, root_key=ROOT_KEY, writer="1")
    other.open()
    other.append(call())
    other.close()
    trail.close()
    again = Trail(directory, clock=clock, root_key=ROOT_KEY)
    again.open()
    again.close()


@pytest.mark.parametrize("writer", ["", "a/b", "..", "0-1", "x" * 33, "0\n"])
def test_a_writer_cannot_name_another_place(
    directory: Path, clock: ManualClock, writer: str
) -> None:
    with pytest.raises(ValueError, match="writer"):
        Trail(directory, clock=clock, root_key=ROOT_KEY, writer=writer)


def test_nothing_can_be_appended_before_opening_or_after_closing(
    directory: Path, clock: ManualClock
) -> None:
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY)
    assert not trail.available()
    with pytest.raises(AuditUnavailable):
        trail.append(call())
    trail.open()
    assert trail.available()
    trail.append(call())
    trail.close()
    assert not trail.available()
    with pytest.raises(AuditUnavailable):
        trail.append(call())


def test_a_directory_that_cannot_be_made_is_a_refusal_without_its_path(
    tmp_path: Path, clock: ManualClock
) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(AuditUnavailable) as refused:
        Trail(tmp_path / "file" / "audit", clock=clock, root_key=ROOT_KEY).open()

    assert refused.value.code is Code.UNAVAILABLE
    assert str(tmp_path) not in refused.value.public


def test_a_torn_last_line_is_cut_off_kept_aside_and_written_down(
    directory: Path, clock: ManualClock
) -> None:
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY)
    trail.open()
    trail.append(call())
    trail.close()
    with only_segment(directory).open("ab") as file:
        file.write(b'{"v":1,"chain":"half a rec')

    again = Trail(directory, clock=clock, root_key=ROOT_KEY)
    again.open()
    again.close()

    recovered = written(directory)[-1]
    assert (recovered["kind"], recovered["host"]) == ("audit.recovered", INSTALLATION)
    ((name, size),) = recovered["detail"]["torn"].items()
    assert (directory / name).read_bytes() == b'{"v":1,"chain":"half a rec'
    assert size == 26
    assert verify(directory).problems == ()


@pytest.mark.parametrize(
    "tail",
    [b"\x00" * 4096, b"\n\n\n", b"{}\n" * 5 + b"{", b"x" * 3_000_000],
    ids=["zeros", "newlines", "other-lines", "longer-than-a-window"],
)
def test_whatever_follows_the_last_whole_record_is_cut_off(
    directory: Path, clock: ManualClock, tail: bytes
) -> None:
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY)
    trail.open()
    trail.append(call())
    trail.close()
    whole = only_segment(directory).read_bytes()
    only_segment(directory).write_bytes(whole + tail)

    again = Trail(directory, clock=clock, root_key=ROOT_KEY)
    again.open()
    again.append(call())
    again.close()

    assert segments(directory)[0].path.read_bytes() == whole
    assert [record["n"] for record in written(directory)] == [1, 2, 3]
    assert verify(directory).problems == ()


def test_a_first_segment_without_a_whole_record_is_used_again(
    directory: Path, clock: ManualClock
) -> None:
    directory.mkdir()
    (directory / "0-00000001.jsonl").write_bytes(b'{"v":1,')

    trail = Trail(directory, clock=clock, root_key=ROOT_KEY)
    trail.open()
    trail.append(call())
    trail.close()

    assert [record["kind"] for record in written(directory)] == ["audit.recovered", "call.intent"]
    assert verify(directory).problems == ()


def test_damage_further_up_is_left_for_verification_to_find(
    directory: Path, clock: ManualClock
) -> None:
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY)
    trail.open()
    for number in range(3):
        trail.append(call(number))
    trail.close()
    damaged = only_segment(directory).read_bytes().replace(b"search_1", b"search_X")
    only_segment(directory).write_bytes(damaged)

    again = Trail(directory, clock=clock, root_key=ROOT_KEY)
    again.open()
    again.append(call())
    again.close()

    assert segments(directory)[0].path.read_bytes() == damaged
    assert [problem.kind for problem in verify(directory).problems] == ["altered"]


def test_records_cut_from_the_end_stay_missing_after_the_next_start(
    directory: Path, clock: ManualClock
) -> None:
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY)
    trail.open()
    for number in range(5):
        trail.append(call(number))
    trail.close()
    lines = only_segment(directory).read_bytes().splitlines(keepends=True)
    only_segment(directory).write_bytes(b"".join(lines[:3]))

    again = Trail(directory, clock=clock, root_key=ROOT_KEY)
    again.open()
    again.append(call())
    again.close()

    recovered = written(directory)[3]
    assert (recovered["kind"], recovered["detail"]) == ("audit.recovered", {"missing": 2})
    (problem,) = verify(directory).problems
    assert (problem.kind, problem.id) == ("missing", recovered["id"])


def test_a_last_record_that_was_altered_is_cut_off_and_stays_missing(
    directory: Path, clock: ManualClock
) -> None:
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY)
    trail.open()
    trail.append(call(1))
    trail.append(call(2))
    trail.close()
    path = only_segment(directory)
    path.write_bytes(path.read_bytes().replace(b"search_2", b"search_X"))

    again = Trail(directory, clock=clock, root_key=ROOT_KEY)
    again.open()
    again.close()

    recovered = written(directory)[-1]
    ((name, _),) = recovered["detail"]["torn"].items()
    assert b"search_X" in (directory / name).read_bytes()
    assert recovered["detail"]["missing"] == 1
    assert [problem.kind for problem in verify(directory).problems] == ["missing"]


@pytest.mark.parametrize(("change", "said"), [(None, "missing"), (b"?" * 300, "unreadable")])
def test_a_head_that_was_removed_or_altered_is_written_down(
    directory: Path, clock: ManualClock, change: bytes | None, said: str
) -> None:
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY)
    trail.open()
    trail.append(call())
    trail.close()
    head = directory / "0.head"
    head.unlink() if change is None else head.write_bytes(change)

    again = Trail(directory, clock=clock, root_key=ROOT_KEY)
    again.open()
    again.close()

    assert written(directory)[-1]["detail"] == {"head": said}
    (problem,) = verify(directory).problems
    assert (problem.kind, problem.line) == ("head", 1)


def test_several_threads_write_one_chain(trail: Trail, directory: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda number: trail.append(call(number)), range(800)))

    assert len(set(ids)) == 800
    verification = verify(directory)
    assert (verification.records, verification.problems) == (800, ())


def test_an_event_larger_than_a_record_is_refused_and_leaves_no_trace(
    trail: Trail, directory: Path
) -> None:
    with pytest.raises(GatewayError) as refused:
        trail.append(call(user_agent="x" * 300_000))
    assert refused.value.code is Code.TOO_LARGE
    trail.append(call(user_agent="x" * 200_000))

    assert [record["n"] for record in written(directory)] == [1]
    assert trail.available()


def test_an_event_that_cannot_be_spelled_is_a_bug_and_leaves_no_trace(
    trail: Trail, directory: Path
) -> None:
    with pytest.raises(TypeError):
        trail.append(call(detail={"object": object()}))
    trail.append(call())

    assert [record["n"] for record in written(directory)] == [1]
