"""A recorded decision is explained by what decided it, whatever decides today."""

from __future__ import annotations

import asyncio
import sqlite3

import msgspec
import pytest

from safeconduct.app import open_installation
from safeconduct.audit import Event
from safeconduct.core.clock import SystemClock
from safeconduct.core.model import HostId, Level
from safeconduct.policy import Bundle, OwnRules, document, keep_built_in
from safeconduct.settings import load
from tests.cli.conftest import Shell
from tests.policy.builders import a_request, at_levels

pytestmark = [pytest.mark.slow, pytest.mark.requirement("L-11", "L-22", "L-17")]
FILE = """\
server: {data_dir: data}
hosts:
  - key: acme
    origin: http://localhost:8420
"""
OWN = """\
package safeconduct.host

import rego.v1

deny contains {"reason": "never"} if input.resource.name == "nothing of that name"
"""
NOW = Bundle.shipped()
BEFORE = Bundle.of(
    modules=tuple(
        (path, text.replace('"ceiling.exceeded"', '"ceiling.too_low"'))
        for path, text in NOW.modules
    ),
    data={},
)


def denied(shell: Shell, decisions: dict[str, tuple[Bundle, str]], *, kept: Bundle | None) -> None:
    """Have decisions on record, by (bundle, reason), and built-in rules that were kept then."""

    async def record() -> None:
        settings = load(shell.directory / "safeconduct.yaml", {})
        async with open_installation(settings) as parts:
            if kept is not None:
                await keep_built_in(parts.database, kept, clock=SystemClock())
            asked = document(a_request(), at_levels(Level.HIGH, Level.HIGH, Level.LOW)).document
            facts = msgspec.json.decode(asked)
            del facts["arguments"]
            for name, (bundle, reason) in decisions.items():
                parts.trail.append(
                    Event(
                        kind="call.denied",
                        host=HostId("acme"),
                        decision="deny",
                        decision_id=name,
                        reason=reason,
                        bundle=bundle.digest,
                        facts=msgspec.Raw(msgspec.json.encode(facts)),
                    )
                )

    asyncio.run(record())


def with_own_rules(shell: Shell) -> OwnRules:
    """Let rules of the host's own decide, and return them."""
    directory = shell.directory / "rules"
    directory.mkdir()
    (directory / "x.rego").write_text(OWN)
    file = shell.directory / "safeconduct.yaml"
    file.write_text(FILE + "    policy: {directory: rules}\n")
    shell("apply")
    return OwnRules.of(NOW.with_directory(directory), NOW)


def test_denials_of_earlier_built_in_rules_are_explained_by_those(shell: Shell) -> None:
    """As after an upgrade that changed them, and after the first rules of the host's own."""
    (shell.directory / "safeconduct.yaml").write_text(FILE)
    shell("apply")
    own = with_own_rules(shell)
    decisions = {
        "alone-before": (BEFORE, "ceiling.too_low"),
        "own-before": (own.upon(BEFORE), "ceiling.too_low"),
        "alone-now": (NOW, "ceiling.exceeded"),
        "own-now": (own.upon(NOW), "ceiling.exceeded"),
    }
    denied(shell, decisions, kept=BEFORE)

    for name, (bundle, reason) in decisions.items():
        found = shell("policy", "eval", "--decision", name, "--json").json
        assert (found["bundle"], found["computed"]["reason"]) == (bundle.digest, reason)
        assert found["same"] is True
        failed = [each for each, holds in found["conditions"].items() if not holds]
        assert failed == ["within_ceiling"]


def test_what_nobody_kept_or_somebody_altered_explains_nothing(shell: Shell) -> None:
    (shell.directory / "safeconduct.yaml").write_text(FILE)
    shell("apply")
    denied(shell, {"before": (BEFORE, "ceiling.too_low")}, kept=None)
    sentence = "this installation does not have it any more"

    assert sentence in shell("policy", "eval", "--decision", "before", code=1).err

    denied(shell, {}, kept=BEFORE)
    with sqlite3.connect(shell.directory / "data" / "safeconduct.db") as database:
        database.execute(
            "UPDATE built_in_rules SET content = replace(content, 'too_low', 'too_new')"
        )
    database.close()
    assert sentence in shell("policy", "eval", "--decision", "before", code=1).err
