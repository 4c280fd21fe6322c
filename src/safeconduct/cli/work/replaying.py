"""Explains recorded decisions, and replays them against other rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from safeconduct import policy
from safeconduct.audit import Filters, SealedArguments, SealError, read
from safeconduct.cli.failures import Failed
from safeconduct.cli.output import Out, several
from safeconduct.cli.work.asking import Asked
from safeconduct.cli.work.auditing import moment
from safeconduct.cli.work.installations import Desk, at_desk, run
from safeconduct.core.model import HostId
from safeconduct.policy import (
    Again,
    Bundle,
    BundleError,
    Comparison,
    OwnRules,
    Recorded,
    Rules,
    bundle_named,
    compare,
    deciding_rules,
    explained,
    recorded,
)
from safeconduct.storage import Read

_UNTOLD = "The record does not hold everything the decision was made on, so it cannot be explained."


def explain(asked: Asked, decision: str, *, directory: Path | None) -> None:
    """Compute a recorded decision again and say what it rested on."""

    async def work() -> None:
        async with at_desk(asked) as desk:
            found = _found(desk, decision)
            bundle = _other(directory) if directory is not None else await _same(desk, found)
            again = Rules(bundle).answer(found.document)
            _show(asked.out, found, bundle, again)

    run(work)


def diff(asked: Asked, directory: Path, *, since: str, until: str | None) -> None:
    """Replay the log against the rules of a directory."""
    begin, end = moment("--since", since), moment("--until", until)
    if begin is not None and end is not None and begin >= end:
        raise Failed("--since is not before --until, so nothing could fit")
    chosen = Filters(since=begin, until=end)

    async def work() -> Comparison:
        async with at_desk(asked) as desk:
            rules = Rules(_other(directory))
            with asked.out.progress("Replaying the trail"):
                return compare(_decisions(desk, chosen), rules)

    _show_flips(asked.out, run(work))


def _decisions(desk: Desk, chosen: Filters) -> Iterator[Recorded]:
    opener = _Opener(desk)
    chosen["host"] = desk.host.key
    for record in read(desk.parts.settings.server.data_dir / "audit", limit=None, **chosen):
        found = recorded(record, opener)
        if found is not None:
            yield found


class _Opener:
    """Opens sealed arguments with the installation's key."""

    def __init__(self, desk: Desk) -> None:
        self._arguments = SealedArguments(desk.parts.root_key)

    def __call__(self, host: str, sealed: str) -> bytes:
        try:
            return self._arguments.opened(HostId(host), sealed)
        except SealError as error:
            raise ValueError("the arguments do not open") from error


def _found(desk: Desk, decision: str) -> Recorded:
    for found in _decisions(desk, Filters()):
        if found.id == decision:
            if not found.document:
                raise Failed(_UNTOLD)
            return found
    raise Failed(
        f"No decision {decision} of host {desk.host.key} is in this trail. "
        "Its id stands in the refusal, and in: safeconduct audit tail --json"
    )


async def _same(desk: Desk, found: Recorded) -> Bundle:
    """Return the bundle that decided, in force or not, with the built-in rules of its time.

    Raises:
        Failed: If it cannot be put together any more.
    """
    async with desk.parts.database.read() as tx:
        built_in = [Bundle.shipped(), *await policy.kept_built_in(tx)]
        entries = await policy.history(tx, desk.host.key)
        named = [each.digest for each in entries if each.decides_as == found.bundle]
        others = (desk.host.policies.policy_bundle, *(each.digest for each in entries))
        for digest in dict.fromkeys((*named, "", *others)):  # the built-in ones alone at first
            own = await _own(tx, desk, digest)
            bundle = None if own is None else bundle_named(found.bundle, own, built_in)
            if bundle is not None:
                return bundle
    raise Failed(
        f"Bundle {found.bundle} decided, and this installation does not have it any more. "
        "Name the rules to ask with --directory."
    )


async def _own(tx: Read, desk: Desk, digest: str) -> OwnRules | None:
    if not digest:
        return OwnRules()
    try:
        stored = await policy.load(tx, desk.host.key, digest, signer=desk.parts.shelf.signer)
    except BundleError:
        return None
    return stored.rules


def _other(directory: Path) -> Bundle:
    try:
        return Bundle.shipped().with_directory(directory)
    except BundleError as error:
        raise Failed(f"These rules cannot be used: {error.public}") from error


def _show(out: Out, found: Recorded, bundle: Bundle, again: Again) -> None:
    conditions = list(explained(bundle, found.document))
    facts: dict[str, Any] = msgspec.json.decode(found.document)
    relations = facts.get("relations", [])
    same = (again.allow, again.reason) == (found.allow, found.reason)
    obligations = msgspec.to_builtins(again.obligations)
    own = list(deciding_rules(bundle, found.document))
    if out.as_json:
        out.value(
            {
                "decision": found.id,
                "recorded": {"allow": found.allow, "reason": found.reason, "bundle": found.bundle},
                "computed": again._asdict()
                | {"obligations": msgspec.to_builtins(again.obligations)},
                "bundle": bundle.digest,
                "same": same,
                "conditions": dict(conditions),
                "own_rules": own,
                "relations": relations,
            }
        )
        return
    word = "Allowed" if again.allow else "Denied"
    out.line(f"{word}: {again.reason}. {again.message}")
    recorded_word = "allowed" if found.allow else "denied"
    verdict = "The same as recorded" if same else f"Recorded was: {recorded_word}, {found.reason}"
    out.line(f"{verdict}, at {found.at} by bundle {found.bundle[:12]}.")
    out.line(f"{found.subject} through {found.client}: {found.resource} on {found.server}")
    consent = (facts.get("consent") or {}).get("level")
    out.line(f"Tool {facts['tool']['level']}, consent {consent}, ceiling {facts.get('ceiling')}")
    for condition, holds in conditions:
        out.line(f"  {'yes' if holds else 'NO '}  {condition.replace('_', ' ')}")
    for fact in relations:
        out.line(f"  {'yes' if fact['allowed'] else 'NO '}  {_asked(fact)}")
        for step in fact["path"]:
            out.line(f"         because {step}")
    for rule in again.rules:
        out.line(f"  rule {rule}")
    for rule in own:
        out.line(f"  by {rule}")
    for obligation in obligations:
        out.line(f"  obliges to {obligation}")


def _asked(fact: dict[str, Any]) -> str:
    named = f"{fact['name']}: " if fact["name"] else ""
    return f"{named}{fact['object'] or '(no object)'}#{fact['permission']}@{fact['subject']}"


def _show_flips(out: Out, found: Comparison) -> None:
    rows = [flip._asdict() for flip in found.flips]
    if out.as_json:
        out.value({"decisions": found.decisions, "unknown": found.unknown, "flips": rows})
        return
    out.line(f"{several(found.decisions, 'decision')} replayed, {several(len(rows), 'flip')}.")
    for why, count in found.unknown.items():
        out.line(f"{several(count, 'decision')} not replayed: {why}.")
    if rows:
        columns = ("subject", "client", "server", "resource", "before", "after", "times")
        out.rows(rows, *columns, nothing="")
