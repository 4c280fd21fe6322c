"""Plans and applies the configuration file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from safeconduct.app import (
    Installation,
    Plan,
    Provisioner,
    Repositories,
    kept_until_served_again,
    look_at_installation,
    open_installation,
)
from safeconduct.cli.output import Out, warn
from safeconduct.cli.work.asking import settings_of, user
from safeconduct.cli.work.installations import check_unmade, run
from safeconduct.settings import Settings


def plan(config: Path, *, prune: bool, as_json: bool) -> None:
    """Show what would change."""
    settings = settings_of(config)
    out = Out(as_json=as_json)
    with out.progress("Comparing"):
        found = run(lambda: _planned(settings, prune=prune))
    _show(out, _with_kept(found, settings))


def apply(config: Path, *, prune: bool, crawl: bool, as_json: bool) -> None:
    """Change it, and show what was changed."""
    settings = settings_of(config)
    out = Out(as_json=as_json)
    with out.progress("Applying") as told:
        done = run(lambda: _applied(settings, prune=prune, crawl=crawl, told=told))
    _show(out, _with_kept(done, settings))


def _with_kept(found: Plan, settings: Settings) -> Plan:
    """Add what applying does not reach."""
    kept = kept_until_served_again(settings)
    return replace(found, warnings=(*found.warnings, kept)) if kept else found


async def _planned(settings: Settings, *, prune: bool) -> Plan:
    async with look_at_installation(settings) as parts:
        return await Provisioner.of(parts).plan(settings, prune=prune)


async def _applied(
    settings: Settings, *, prune: bool, crawl: bool, told: Callable[[str], None]
) -> Plan:
    await check_unmade(settings)
    async with open_installation(settings) as parts:
        provisioner = Provisioner.of(parts)
        done = await provisioner.apply(settings, crawl=crawl, prune=prune, by=user(), told=told)
        return replace(done, warnings=(*done.warnings, *await _fetched(parts, told)))


async def _fetched(parts: Installation, told: Callable[[str], None]) -> list[str]:
    """Look at the policy repositories; returns what could not be taken."""
    repositories = Repositories(parts)
    warnings = []
    for host in repositories.hosts:
        told(f"policy of {host}")
        found = await repositories.look(host)
        if found.state != "current":
            why = found.problem or "its rules were rolled back and wait for a newer commit"
            warnings.append(f"{host}: the policy repository is {found.state}: {why}")
    return warnings


def _show(out: Out, found: Plan) -> None:
    for warning in found.warnings:
        warn(warning)
    if out.as_json:
        out.value(found.as_json())
        return
    for line in str(found).splitlines():
        out.line(line)
    for imported in found.imported:
        if imported.problem is None:
            out.line(str(imported))
