"""Shows which rules are in force and which were when; goes back to earlier ones."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from safeconduct import policy
from safeconduct.app import Activations, unheard
from safeconduct.cli.failures import Failed
from safeconduct.cli.work.asking import Asked
from safeconduct.cli.work.installations import Desk, at_desk, run
from safeconduct.core.edges import read_instant
from safeconduct.hosts import find
from safeconduct.policy import PENDING, Activation, Bundle, BundleError, Embedded, OwnRules
from safeconduct.storage import Read

_SHORT = 12
_LEAST_CHARACTERS = 8
_NOTHING = "The built-in rules have decided alone from the beginning."
_NO_RULES = {
    "files": "the policy repository was never read",
    "api": "no rules were put by API yet",
}
_RUNS = {
    "compiled": "the built-in rules alone",
    "interpreted": "which costs about twice what the built-in rules do",
    "apart": "in a process beside the gateway, which costs four to eight times as much",
    "opa": "on the OPA servers",
}
_KINDS = {
    "applied": "applied",
    "fetched": "fetched",
    "put": "put by API",
    "rolled_back": "rolled back",
    "removed": "removed",
}


def history(asked: Asked) -> None:
    """Print the activations."""
    rows = run(lambda: _history(asked))
    if not asked.as_json:
        rows = [
            row | {"bundle": _named(row["digest"]), "kind": _KINDS[row["kind"]]} for row in rows
        ]
    asked.out.rows(rows, *("at", "bundle", "kind", "by", "because"), nothing=_NOTHING)


def status(asked: Asked) -> None:
    """Print what decides and how its source stands."""
    found = run(lambda: _status(asked))
    out = asked.out
    if asked.as_json:
        out.value(found)
        return
    out.line(f"Rules: {_named(found['digest'])}")
    out.line(f"Decisions name it: {found['decides_as'] or 'nothing is allowed'}")
    if found["runs"]:
        out.line(f"Runs: {found['runs']}, {_RUNS[found['runs']]}")
    if found["problem"]:
        out.line(f"Problem: {found['problem']}")
    if found["refused_today"]:
        out.line(f"Warning: these rules would not be taken any more: {found['refused_today']}")
    for note in found["notes"]:
        out.line(f"Note: {note}")
    if found["since"] is not None:
        out.line(f"Since: {found['since']}, by {found['by']}: {found['because']}")
    source = found["repository"]
    if source is not None:
        commit = source["commit"][:_SHORT] or "no commit yet"
        out.line(f"Repository: {source['url']}, branch {source['branch']}: {source['state']}")
        out.line(f"Looked at: {source['tried_at'] or 'never'}, {commit}")
        if source["problem"]:
            out.line(f"Not taken: {source['problem']}")
        if source["state"] == "held":
            out.line("It was rolled back, and waits for a newer commit or another rollback.")


def show(asked: Asked, digest: str | None, at: str | None) -> None:
    """Print the rules of one bundle, or those in force at a time."""
    if digest is not None and at is not None:
        raise Failed("Name a bundle or a time, not both.")
    found = run(lambda: _shown(asked, digest, None if at is None else _instant(at)))
    out = asked.out
    if asked.as_json:
        out.value(found)
        return
    out.line(f"Rules: {_named(found['digest'])}")
    if found["since"] is not None:
        until = f" until {found['until']}" if found["until"] is not None else ""
        out.line(f"In force since {found['since']}{until}, by {found['by']}: {found['because']}")
    if found["source"]:
        out.line(f"Source: {found['source']}")
    for path, text in found["files"].items():
        out.line(f"# {path}")
        for line in text.splitlines():
            out.line(line)


def roll_back(asked: Asked, digest: str | None, *, because: str) -> None:
    """Let an earlier bundle decide."""
    found = run(lambda: _rolled_back(asked, digest, because))
    asked.out.sentence(
        f"{_named(found['after'])} decides from the next call on. What was gone back from "
        "stays out until its source has something newer.",
        **found,
    )


async def _history(asked: Asked) -> list[dict[str, Any]]:
    async with at_desk(asked) as desk, desk.parts.database.read() as tx:
        return [_row(each) for each in await policy.history(tx, desk.host.key)]


async def _status(asked: Asked) -> dict[str, Any]:
    async with at_desk(asked) as desk, desk.parts.database.read() as tx:
        key, active = desk.host.key, desk.host.policies.policy_bundle
        since = await policy.history(tx, key, most=1)
        rules, problem = OwnRules(), ""
        if active == PENDING:
            problem = _NO_RULES[desk.host.policies.policy_by]
        elif active:
            try:
                rules = (await _loaded(desk, tx, active)).rules
            except BundleError as error:
                problem = error.public
        whole = None if problem else rules.upon(Bundle.shipped())
        runs, notes = None, tuple[str, ...]()
        if whole is not None:
            try:
                runs, notes = _runs(desk, whole), unheard(whole)
            except BundleError as error:
                problem = f"these rules cannot be loaded, so nothing is allowed: {error.public}"
        return {
            "host": key,
            "digest": active,
            "decides_as": "" if whole is None else whole.digest,
            "problem": problem,
            "runs": runs,
            "refused_today": ""
            if whole is None
            else policy.refused_today(whole.own_modules, whole.schema),
            "notes": notes,
            **_who(since[0] if since else None),
            "repository": await _repository(desk, tx),
        }


def _runs(desk: Desk, bundle: Bundle) -> str:
    engine = desk.host.policies.policy_engine
    return engine if engine == "opa" else Embedded(bundle).runs


async def _repository(desk: Desk, tx: Read) -> dict[str, Any] | None:
    said = next((each for each in desk.parts.settings.hosts if each.key == desk.host.key), None)
    if said is None or said.policy is None or said.policy.git is None:
        return None
    git = said.policy.git
    found = await policy.standing_of(tx, desk.host.key)
    since = found.current_at
    age = None if since is None else (desk.parts.clock.now() - since).total_seconds()
    members: dict[str, Any] = msgspec.to_builtins(found)
    return {"url": git.url, "branch": git.branch, "directory": git.directory, **members} | {
        "age_seconds": age
    }


async def _shown(asked: Asked, start: str | None, at: datetime | None) -> dict[str, Any]:
    async with at_desk(asked) as desk, desk.parts.database.read() as tx:
        entries = await policy.history(tx, desk.host.key)
        if start is not None:
            digest, entry, until = await _one(tx, desk, start), None, None
        else:
            past = [each for each in entries if at is None or each.at <= at]
            entry = past[0] if past else None
            digest = "" if entry is None else entry.digest
            later = entries[: len(entries) - len(past)]
            until = later[-1].at.isoformat(timespec="seconds") if later else None
        files: dict[str, str] = {}
        source = ""
        if digest not in {"", PENDING}:
            try:
                stored = await _loaded(desk, tx, digest)
            except BundleError as error:
                raise Failed(f"Bundle {digest[:_SHORT]} cannot be shown: {error.public}") from error
            files, source = stored.rules.files, stored.source
        return {
            "host": desk.host.key,
            "digest": digest,
            "source": source,
            **_who(entry),
            "until": until,
            "files": files,
        }


async def _rolled_back(asked: Asked, start: str | None, because: str) -> dict[str, Any]:
    async with at_desk(asked) as desk:
        parts, key = desk.parts, desk.host.key
        activations = Activations(trail=parts.trail, clock=parts.clock, signer=parts.shelf.signer)
        async with parts.database.write() as tx:
            host = await find(tx, key)
            if host is None:
                raise Failed(f"There is no host {key} any more.")
            entries = await policy.history(tx, key)
            digest = policy.before_now(entries) if start is None else await _one(tx, desk, start)
            if digest is None or digest == PENDING:
                raise Failed(
                    "There is no bundle before this one. To let the built-in rules decide alone, "
                    "take the policy out of the file: safeconduct apply"
                )
            before = host.policies.policy_bundle
            why = because or f"went back from {_named(before)}"
            await activations.roll_back(tx, host, digest, by=desk.by, because=why)
        return {"host": key, "before": before, "after": digest, "by": desk.by, "because": why}


async def _one(tx: Read, desk: Desk, start: str) -> str:
    """Return the one bundle whose name begins like this.

    Raises:
        Failed: If there is none, or more than one.
    """
    if len(start) < _LEAST_CHARACTERS:
        raise Failed(f"Name at least {_LEAST_CHARACTERS} characters of the bundle.")
    found = await policy.beginning_with(tx, desk.host.key, start.lower())
    if len(found) != 1:
        raise Failed(
            f"Host {desk.host.key} has {'several bundles' if found else 'no bundle'} "
            f"that begin{'' if found else 's'} with {start}. See: safeconduct policy history"
        )
    return found[0]


async def _loaded(desk: Desk, tx: Read, digest: str) -> policy.Stored:
    return await policy.load(tx, desk.host.key, digest, signer=desk.parts.shelf.signer)


def _row(entry: Activation) -> dict[str, Any]:
    members: dict[str, Any] = msgspec.to_builtins(entry)
    return members | {"at": entry.at.isoformat(timespec="seconds")}


def _who(entry: Activation | None) -> dict[str, Any]:
    if entry is None:
        return dict.fromkeys(("since", "by", "because", "kind"))
    return {
        "since": entry.at.isoformat(timespec="seconds"),
        "by": entry.by,
        "because": entry.because,
        "kind": entry.kind,
    }


def _named(digest: str) -> str:
    if digest == PENDING:
        return "none yet"
    return f"bundle {digest[:_SHORT]}" if digest else "the built-in rules alone"


def _instant(text: str) -> datetime:
    try:
        return read_instant(text)
    except ValueError as error:
        raise Failed(f"{error}.") from error
