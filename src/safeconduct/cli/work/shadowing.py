"""Puts rules beside those that decide, and lists what they would have decided otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safeconduct.app import Activations, Offer, read_rules
from safeconduct.audit import Filters, read
from safeconduct.cli.failures import Failed
from safeconduct.cli.output import several
from safeconduct.cli.work.asking import Asked
from safeconduct.cli.work.installations import Desk, at_desk, run
from safeconduct.hosts import find
from safeconduct.policy import Bundle, BundleError, OwnRules

_FLIP, _SHORT = "policy.flip", 12
_COLUMNS = ("subject", "client", "server", "resource", "decision", "would", "reason", "times")


def begin(asked: Asked, directory: Path) -> None:
    """Have the rules of a directory asked beside those that decide."""
    try:
        offer = read_rules(directory)
    except BundleError as error:
        raise Failed(f"These rules cannot be used: {error.public}") from error
    digest = run(lambda: _set(asked, offer))
    asked.out.sentence(
        f"Bundle {digest[:_SHORT]} is asked beside the rules in force from the next call on, and "
        "decides nothing. See what it would flip: safeconduct policy shadow",
        bundle=digest,
    )


def end(asked: Asked) -> None:
    """Have nothing asked beside any more."""
    run(lambda: _set(asked, None))
    asked.out.sentence("Nothing is asked beside the rules in force any more.", bundle=None)


def flips(asked: Asked) -> None:
    """List what the rules beside would have decided otherwise since they have been there."""
    bundle, rows = run(lambda: _flips(asked))
    out = asked.out
    if out.as_json:
        out.value({"bundle": bundle or None, "flips": rows})
        return
    if not bundle:
        out.line("Nothing is asked beside the rules in force. Begin: safeconduct policy shadow DIR")
        return
    out.line(f"Bundle {bundle[:_SHORT]} would flip {several(len(rows), 'answer')}.")
    if rows:
        out.rows(rows, *_COLUMNS, nothing="")


async def _set(asked: Asked, offer: Offer | None) -> str:
    async with at_desk(asked) as desk:
        parts = desk.parts
        activations = Activations(trail=parts.trail, clock=parts.clock, signer=parts.shelf.signer)
        async with parts.database.write() as tx:
            host = await find(tx, desk.host.key)
            if host is None:
                raise Failed(f"There is no host {desk.host.key} any more.")
            if offer is None and not host.policies.policy_shadow:
                raise Failed("Nothing is asked beside the rules in force.")
            await activations.shadow(tx, host, offer, by=desk.by)
        rules = OwnRules() if offer is None else offer.rules
        return rules.upon(Bundle.shipped()).digest


async def _flips(asked: Asked) -> tuple[str, list[dict[str, Any]]]:
    async with at_desk(asked) as desk:
        digest = desk.host.policies.policy_shadow
        if not digest:
            return "", []
        try:
            bundle = desk.parts.shelf.of(desk.host.key, digest).upon(Bundle.shipped()).digest
        except LookupError as error:
            raise Failed(
                "The stored rules cannot be trusted. Put them there again: safeconduct policy "
                "shadow DIR"
            ) from error
        return bundle, _counted(desk, bundle)


def _counted(desk: Desk, bundle: str) -> list[dict[str, Any]]:
    """Count the flips by who would get another answer for what, most frequent first."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    directory = desk.parts.settings.server.data_dir / "audit"
    chosen = Filters(host=desk.host.key, kind=_FLIP)
    for record in read(directory, limit=None, **chosen):
        if record.get("bundle") != bundle:
            continue
        row = {name: str(record.get(name) or "") for name in _COLUMNS[:5]} | record["detail"]
        known = found.setdefault(tuple(row.values()), row | {"times": 0})
        known["times"] += 1
        known["decision_id"] = record.get("decision_id")
    return sorted(found.values(), key=lambda row: -row["times"])
