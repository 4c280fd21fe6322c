from __future__ import annotations

import multiprocessing
import time
from collections import deque
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from safeconduct.storage import Tally, TallyBusy


def take(tally: Tally, now: float, *, limit: int = 2, key: str = "alice") -> float:
    return tally.take(("host", key), limit=limit, seconds=60, now=now)


def test_so_many_are_counted_and_then_it_says_when_to_come_back() -> None:
    tally = Tally()
    assert (take(tally, 100), take(tally, 130)) == (0, 0)

    wait = take(tally, 140)

    assert 20 <= wait <= 21
    assert take(tally, 140, key="bob") == 0
    assert take(tally, 140 + wait) == 0
    assert take(tally, 140 + wait) > 0


def test_two_openings_of_one_file_count_together_and_also_after_a_restart(tmp_path: Path) -> None:
    first, second = Tally(tmp_path / "tally"), Tally(tmp_path / "tally")
    assert (take(first, 100), take(second, 100)) == (0, 0)
    assert take(first, 101) > 0
    assert take(second, 101) > 0
    first.close()
    second.close()

    assert take(Tally(tmp_path / "tally"), 102) > 0


def test_a_time_before_the_last_one_frees_nothing() -> None:
    tally = Tally()
    take(tally, 1000)
    take(tally, 1000)

    assert take(tally, 10) > 0
    assert take(tally, 1061) == 0


def test_another_start_of_the_machine_begins_anew(tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally")
    take(tally, 1000)
    take(tally, 1000)
    tally.close()
    raw = bytearray((tmp_path / "tally").read_bytes())
    raw[40] ^= 1  # within what names the start
    (tmp_path / "tally").write_bytes(raw)

    assert take(Tally(tmp_path / "tally"), 5) == 0


def test_what_is_no_tally_is_replaced_by_one(tmp_path: Path) -> None:
    (tmp_path / "tally").write_bytes(b"something else")

    tally = Tally(tmp_path / "tally")
    assert (take(tally, 1), take(tally, 1)) == (0, 0)
    assert take(tally, 1) > 0


@given(
    st.lists(st.floats(0, 40, allow_nan=False), min_size=1, max_size=80),
    st.integers(1, 5),
)
def test_never_more_than_the_limit_falls_into_any_window(steps: list[float], limit: int) -> None:
    tally, now, counted = Tally(), 0.0, deque[float]()
    for step in steps:
        now += step
        wait = take(tally, now, limit=limit)
        if wait == 0:
            counted.append(now)
        else:
            assert wait <= 61.1
            assert counted[-limit] > now - 61.1  # and nobody waits for nothing
        assert sum(each > now - 60 for each in counted) <= limit
    tally.close()


def test_more_keys_than_there_is_room_for_forget_the_stillest() -> None:
    tally = Tally()
    for number in range(60_000):
        assert take(tally, number / 1000, key=f"k{number}") == 0

    assert take(tally, 60, key="k59999") == 0
    assert take(tally, 60, key="k59999") > 0


def _count(path: Path, results: multiprocessing.Queue[int]) -> None:
    tally, counted = Tally(path), 0
    for _ in range(400):
        while True:
            try:
                counted += take(tally, time.monotonic(), limit=500) == 0
            except TallyBusy:
                continue
            break
    results.put(counted)


def test_processes_that_count_at_once_lose_nothing_and_add_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [context.Process(target=_count, args=(tmp_path / "tally", results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    counted = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()

    assert sum(counted) == 500
