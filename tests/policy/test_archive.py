"""The archive enforcement points download decides as the host does, in OPA and in our engine."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import Any

import msgspec
import pytest

from safeconduct.core.model import Level
from safeconduct.policy import Bundle, Embedded, document, packed
from safeconduct.policy.rego import ENTRY_POINT
from tests.fixtures.opa import Opa, opa_library

from .builders import a_request, at_levels, at_once, some_facts

pytestmark = pytest.mark.requirement("D-06")

OWN = """package safeconduct.host

import rego.v1

deny contains {"reason": "limit", "message": "Too much."} if not within(input.arguments.amount)

deny contains {"reason": "owner", "message": "Not yours."} if {
	owner := data.owners[input.arguments.id]
	owner != input.subject.id
}

within(amount) if amount <= data.limit
"""
TEST = """package safeconduct.host

import rego.v1

test_nothing := true
"""
DATA = {"limit": 3, "owners": {"T-7": "bob"}, "denylists": {"subjects": ["eve"]}}


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.shipped().with_files(
        {
            "own.rego": OWN.encode(),
            "own_test.rego": TEST.encode(),
            "data.json": json.dumps(DATA).encode(),
        }
    )


def unpacked(raw: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:gz") as archive:
        return {each.name: archive.extractfile(each).read() for each in archive}  # type: ignore[union-attr]


def modules(files: dict[str, bytes]) -> tuple[tuple[str, str], ...]:
    return tuple((name, raw.decode()) for name, raw in files.items() if name.endswith(".rego"))


def questions() -> list[tuple[str, bytes]]:
    """Each with the reason it is answered with."""

    def asked(reason: str, facts: Any, who: str = "bob", **arguments: Any) -> tuple[str, bytes]:
        return reason, document(a_request(who=who, arguments=arguments), facts).document

    return [
        asked("allowed", some_facts(), id="T-7", amount=3),
        asked("policy.limit", some_facts(), id="T-7", amount=4),
        asked("policy.limit", some_facts(), id="T-7"),  # undefined: where engines differ
        asked("policy.owner", some_facts(who="ann"), "ann", id="T-7", amount=1),
        asked("denylist.listed", some_facts(who="eve"), "eve", id="T-8", amount=1),
        asked("ceiling.none", some_facts(ceiling=None), amount=1),
        asked("consent.level", at_levels(Level.HIGH, Level.LOW, Level.HIGH), amount=1),
    ]


@pytest.mark.requirement("D-08")
def test_what_is_unpacked_decides_as_the_host_does(bundle: Bundle) -> None:
    files = unpacked(packed(bundle))
    there = Bundle.of(modules=modules(files), data=json.loads(files["data.json"]))
    here, downloaded = Embedded(bundle), Embedded(there)

    for reason, raw in questions():
        answer = msgspec.json.decode(at_once(here.evaluate(raw)))
        assert answer["reason"] == reason
        assert msgspec.json.decode(at_once(downloaded.evaluate(raw))) == answer


@pytest.mark.slow
def test_opa_decides_by_the_archive_as_the_host_does(bundle: Bundle) -> None:
    library, why = opa_library()
    if library is None:
        pytest.skip(why)
    files, here, opa = unpacked(packed(bundle)), Embedded(bundle), Opa(library)
    try:
        for name, text in modules(files):
            opa.module(name, text)
        opa.data(json.loads(files["data.json"]))
        for _, raw in questions():
            answer = msgspec.json.decode(at_once(here.evaluate(raw)))
            assert opa.ask(ENTRY_POINT.removeprefix("data."), raw) == answer
    finally:
        opa.close()


def test_the_archive_has_what_decides_and_nothing_else(bundle: Bundle) -> None:
    files = unpacked(packed(bundle))

    assert list(files) == sorted({".manifest", "data.json", *dict(bundle.modules)})
    assert {"host/own.rego", "extensions.rego", "safeconduct/main.rego"} < files.keys()
    assert json.loads(files["data.json"]) == DATA
    assert json.loads(files[".manifest"]) == {
        "revision": bundle.digest,
        "roots": [""],
        "rego_version": 1,
    }


def test_the_same_bundle_is_always_the_same_bytes(bundle: Bundle) -> None:
    raw = packed(bundle)
    again = Bundle.of(modules=tuple(reversed(bundle.modules)), data=bundle.data)

    assert packed(again) == raw
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(raw))) as archive:
        assert {(each.mtime, each.uid, each.uname, each.mode) for each in archive} == {
            (0, 0, "", 0o644)
        }


def test_the_data_is_what_differs_when_only_that_changed(bundle: Bundle) -> None:
    other = Bundle.of(modules=bundle.modules, data={**DATA, "limit": 4})

    before, after = unpacked(packed(bundle)), unpacked(packed(other))

    assert {name for name in before if before[name] != after[name]} == {".manifest", "data.json"}
