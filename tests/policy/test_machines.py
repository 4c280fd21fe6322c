"""Compiled rules belong to the thread that made them, to the end."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from safeconduct.policy import Bundle, Embedded, document
from safeconduct.policy.machines import Machines, _kept

from .builders import a_request, at_once, some_facts


@pytest.fixture
def complaints(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect what the engine says when a machine is dropped where it must not be."""
    heard: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    return heard


def elsewhere(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(timeout=30)
    assert not thread.is_alive()


def in_a_cycle(engine: Embedded) -> weakref.ref[Embedded]:
    holder: dict[str, Any] = {"engine": engine}
    holder["self"] = holder
    return weakref.ref(engine)


def test_rules_collected_in_another_thread_are_dropped_in_their_own(complaints: list[Any]) -> None:
    gone = in_a_cycle(Embedded(Bundle.shipped()))
    elsewhere(gc.collect)

    assert gone() is None
    assert complaints == []


def test_a_thread_clears_what_nobody_owns_when_it_compiles_again() -> None:
    machines = Machines(Bundle.shipped())
    mine, before = id(machines), len(_kept.ready)
    del machines
    assert len(_kept.ready) == before

    again = Machines(Bundle.shipped())

    assert [key for key, (owner, _) in _kept.ready.items() if owner() is None] == []
    assert id(again) in _kept.ready
    assert len(_kept.ready) <= before
    assert mine not in _kept.ready or mine == id(again)


def test_a_thread_that_ends_takes_its_machines_along(complaints: list[Any]) -> None:
    answers: list[bytes] = []

    def ask() -> None:
        engine = Embedded(Bundle.shipped())
        answers.append(at_once(engine.evaluate(document(a_request(), some_facts()).document)))

    elsewhere(ask)
    gc.collect()

    assert b'"allow":true' in answers[0].replace(b" ", b"")
    assert complaints == []


def test_a_machine_is_kept_for_the_next_question_and_discarded_on_request() -> None:
    machines = Machines(Bundle.shipped())
    first = machines.current()

    assert machines.current() is first
    machines.discard()
    assert machines.current() is not first
