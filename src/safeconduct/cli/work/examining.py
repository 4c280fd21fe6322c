"""The doctor: is everything there that a gateway needs, and what to do where it is not.

Each check stands for itself, so that one look shows everything. Nothing is repaired here, and
what does not exist yet is not created: an installation is made by `apply` or `serve`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from safeconduct.app import (
    Installation,
    Provisioner,
    declared,
    installed,
    kept_until_served_again,
    look_at_installation,
    lost_bindings,
    names_of,
    not_understood,
    offered,
    schemas_in,
    unheeded,
    unknown_names,
)
from safeconduct.cli.failures import USERS, Failed
from safeconduct.cli.output import Out, several
from safeconduct.cli.work.asking import settings_of
from safeconduct.cli.work.installations import opened
from safeconduct.cli.work.ports import unusable
from safeconduct.core.clock import SystemClock
from safeconduct.core.directories import fault_of_place
from safeconduct.core.errors import GatewayError
from safeconduct.core.model import Value
from safeconduct.core.space import room_at
from safeconduct.egress import parse_proxy
from safeconduct.policy import (
    PENDING,
    Bundle,
    BundleError,
    Embedded,
    Standing,
    refused_today,
    standing_of,
)
from safeconduct.settings import (
    EgressSettings,
    HostSettings,
    MailSettings,
    Settings,
    SettingsError,
    UpstreamSettings,
)
from safeconduct.storage import DatabaseIsOlder, StorageError, StoreUnavailable
from safeconduct.upstreams import CrawlFailed, named, unchecked

_MOST_NAMED = 5
_PATIENCE_SECONDS = 10.0
_OTHER_NAME = "Correct the name: what the file says under it applies to no tool."
_MEND_THE_LIST = "The rest of its tools work. Have the server's list mended, then: servers check."
_CURSORS_PORT = 8787
_EARLIEST_YEAR = 2026
_ROOM_BYTES = 64 * 1024 * 1024  # a segment of the audit trail
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

State = Literal["ok", "warn", "fail"]


class Finding(Value, frozen=True):
    """What one check found, and what to do about it."""

    check: str
    state: State
    message: str
    fix: str = ""


def examine(config: Path, *, as_json: bool) -> int:
    """Run every check; returns the exit code, 1 when something fails."""
    out = Out(as_json=as_json)
    with out.progress("Looking") as told:
        found = asyncio.run(_all(config, told))
    if as_json:
        failed = any(each.state == "fail" for each in found)
        out.value({"ok": not failed, "checks": [_members(each) for each in found]})
    for each in found if not as_json else ():
        out.line(f"{each.state:4}  {each.check}: {each.message}")
        if each.fix:
            out.line(f"      {each.fix}")
    return USERS if any(each.state == "fail" for each in found) else 0


def _members(finding: Finding) -> dict[str, str]:
    return {
        "check": finding.check,
        "state": finding.state,
        "message": finding.message,
        "fix": finding.fix,
    }


async def _all(config: Path, told: Callable[[str], None]) -> list[Finding]:
    found = [*_engine(), _clock()]
    try:
        settings = settings_of(config)
    except (Failed, SettingsError) as error:
        message = str(error).partition("\n")[0]
        fix = "Correct the file; docs/configuration.md has every key."
        return [*found, Finding(check="configuration", state="fail", message=message, fix=fix)]
    said = several(len(settings.hosts), "host")
    found.append(Finding(check="configuration", state="ok", message=said))
    fault = fault_of_place(settings.server.data_dir)
    found += _no_place(settings.server.data_dir, fault) if fault else _data_dir(settings)
    found += _port(settings)
    for host in settings.hosts:
        told(f"what {host.key} declares")
        found += [finding async for finding in _declared(host)]
        told(host.origin)
        found.append(await _origin(host.key, host.origin))
    found += [finding async for finding in way_out(settings.server.egress, os.environ)]
    if settings.server.mail is not None:
        told("mail")
        found.append(await _mail(settings.server.mail))
    if not fault:
        told("database")
        found += [finding async for finding in _installation(settings, told)]
    return found


def _engine() -> Iterator[Finding]:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    yield Finding(check="python", state="ok", message=version)
    try:
        Embedded(Bundle.shipped())
    except BundleError as error:
        fix = "Install Safeconduct again; its own rules are damaged."
        yield Finding(check="policy engine", state="fail", message=error.public, fix=fix)
    else:
        yield Finding(check="policy engine", state="ok", message="the built-in rules compile")


def _clock() -> Finding:
    now = SystemClock().now()
    said = now.isoformat(timespec="seconds")
    if now.year < _EARLIEST_YEAR:
        fix = "Set the clock; tokens and consents would end at the wrong time."
        return Finding(check="clock", state="fail", message=f"it is not {said}", fix=fix)
    return Finding(check="clock", state="ok", message=said)


def _no_place(path: Path, fault: str) -> Iterator[Finding]:
    fix = f"Choose another server.data_dir, or create it as this user: mkdir -m 700 {path}"
    message = f"cannot be used: {fault}"
    yield Finding(check="data directory", state="fail", message=message, fix=fix)


def _data_dir(settings: Settings) -> Iterator[Finding]:
    yield from _modes(settings.server.data_dir)
    yield from _disks(settings)


def _modes(path: Path) -> Iterator[Finding]:
    if not path.exists():
        fix = "Create the installation: safeconduct apply"
        yield Finding(check="data directory", state="warn", message="is not there yet", fix=fix)
        return
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        fix = f"Give it to this user: chown {os.getuid()} {path}"
        yield Finding(check="data directory", state="fail", message="cannot be used", fix=fix)
        return
    if path.stat().st_mode & _OTHERS:
        fix = f"Close it: chmod 700 {path}"
        message = "other users of this machine may look into it"
        yield Finding(check="data directory", state="fail", message=message, fix=fix)
        return
    yield Finding(check="data directory", state="ok", message=str(path))
    key = path / "master.key"
    if key.exists() and key.stat().st_mode & _OTHERS:
        fix = f"Close it: chmod 600 {key}"
        yield Finding(check="master key", state="fail", message="others may read it", fix=fix)


def _disks(settings: Settings) -> Iterator[Finding]:
    """Look whether what is written has room, and may be written, without writing anything."""
    data_dir = settings.server.data_dir
    if not data_dir.is_dir():
        return
    seen = set()
    for path in (data_dir, data_dir / "audit"):
        if not path.is_dir() or path.stat().st_dev in seen:
            continue
        seen.add(path.stat().st_dev)
        room = room_at(path, needed=_ROOM_BYTES)
        fix = f"Make room on the disk of {path}: what has to be on record is refused without it."
        state: State = "fail" if room.missing else "ok"
        yield Finding(check="disk", state=state, message=str(room), fix=fix if room.missing else "")
    for path in (data_dir / "audit", *data_dir.glob("safeconduct.db*")):
        if path.exists() and not os.access(path, os.W_OK):
            fix = f"Let this user write it: chown {os.getuid()} {path}"
            message = f"{path.name} can only be read"
            yield Finding(check="data directory", state="fail", message=message, fix=fix)


def _port(settings: Settings) -> Iterator[Finding]:
    server = settings.server
    ports = {server.listen_port} | {urlsplit(host.origin).port for host in settings.hosts}
    if _CURSORS_PORT in ports:
        yield Finding(
            check="port",
            state="warn",
            message=f"Cursor listens on {_CURSORS_PORT} while it signs in",
            fix="On machines where people use Cursor, choose another port.",
        )
    if reason := unusable(server.listen_host, server.listen_port):
        yield Finding(
            check="port",
            state="warn",
            message=f"{server.listen} cannot be listened on: {reason.lower()}",
            fix="Fine if that is this gateway; else choose another server.listen.",
        )
    else:
        yield Finding(check="port", state="ok", message=f"{server.listen} is free")


async def _declared(host: HostSettings) -> AsyncIterator[Finding]:
    """Read what the file names beside itself: what cannot be applied cannot be served either."""
    try:
        offer = await offered(host)
    except GatewayError as error:
        fix = "Correct the rules; see: safeconduct policy check"
        yield Finding(check=f"rules of {host.key}", state="fail", message=error.public, fix=fix)
    else:
        if offer is not None and offer.source:
            message = f"{offer.source} can be used"
            yield Finding(check=f"rules of {host.key}", state="ok", message=message)
    try:
        apis = await declared(host)
    except GatewayError as error:
        fix = "See safeconduct plan; correct the declaration, or import less of it."
        message = error.public.partition("\n")[0]
        yield Finding(check=f"HTTP APIs of {host.key}", state="fail", message=message, fix=fix)
        return
    if apis.left_out:
        more = len(apis.left_out) - 1
        message = apis.left_out[0] + (f"; and {more} more" if more else "")
        fix = "See safeconduct plan, which names all of them."
        yield Finding(check=f"HTTP APIs of {host.key}", state="warn", message=message, fix=fix)
    for key, api in apis.of.items():
        message = f"{len(api.tools)} tools declared; only calls ask the API itself"
        message += _partly(tool.definition for tool in api.tools.values())
        yield Finding(check=f"server {key}", state="ok", message=message)


async def _origin(key: str, origin: str) -> Finding:
    parts = urlsplit(origin)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    check = f"origin of {key}"
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            loop = asyncio.get_running_loop()
            await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError):
        fix = "Make the name known in the DNS; clients must find it too."
        return Finding(
            check=check, state="fail", message=f"{parts.hostname} has no address", fix=fix
        )
    return Finding(check=check, state="ok", message=f"{parts.hostname} has an address")


async def way_out(egress: EgressSettings, environ: Mapping[str, str]) -> AsyncIterator[Finding]:
    """Say which way out is taken, also where a variable names another."""
    variable = unheeded(egress, environ)
    if variable is not None:
        yield Finding(
            check="egress",
            state="warn",
            message=f"{variable} is set and not used: everything but git is reached directly",
            fix=f"To use it, write server.egress.proxy: {{env: {variable}}}.",
        )
    other = not_understood(egress, environ)
    if other:
        yield Finding(
            check="egress",
            state="warn",
            message=f"NO_PROXY: not understood, so reached by the proxy: {', '.join(other)}",
            fix="Write names, addresses or networks, or write server.egress.no_proxy instead.",
        )
    if egress.proxy is not None:
        proxy = parse_proxy(egress.proxy.reveal())
        where = f"the forward proxy at {proxy.host}:{proxy.port}"
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                _, writer = await asyncio.open_connection(proxy.host, proxy.port)
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError):
            fix = "Check server.egress.proxy; nothing outside is reached without it."
            yield Finding(check="egress", state="fail", message=f"{where} does not answer", fix=fix)
        else:
            yield Finding(check="egress", state="ok", message=f"{where} answers")


async def _mail(mail: MailSettings) -> Finding:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            _, writer = await asyncio.open_connection(mail.host, mail.port)
            writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError):
        fix = "Check server.mail.host and port, and what stands between."
        message = f"{mail.host}:{mail.port} does not answer"
        return Finding(check="mail", state="fail", message=message, fix=fix)
    return Finding(check="mail", state="ok", message=f"{mail.host}:{mail.port} answers")


async def _installation(settings: Settings, told: Callable[[str], None]) -> AsyncIterator[Finding]:
    server = settings.server
    made = installed(server)
    if server.database is None and not made:
        return
    try:
        async with opened(settings) if made else look_at_installation(settings) as parts:
            yield Finding(check="database", state="ok", message="answers")
            yield Finding(check="migrations", state="ok", message="all applied")
            yield _trail(parts)
            yield await _plan(parts, settings)
            if kept := kept_until_served_again(settings):
                yield Finding(check="running gateway", state="warn", message=kept)
            async for finding in _rules(parts, settings):
                yield finding
            for host in settings.hosts:
                async for finding in _servers(parts, host, told):
                    yield finding
    except StoreUnavailable as error:
        fix = "Check server.database and that this user may use the data directory."
        yield Finding(check="database", state="fail", message=error.public, fix=fix)
    except DatabaseIsOlder as error:
        yield Finding(check="migrations", state="warn", message=error.public)
    except GatewayError as error:
        yield Finding(check="installation", state="fail", message=error.public)
    except (StorageError, OSError, ValueError):
        # The library's words may hold the database's address and password.
        fix = "Check server.database and that this user may use the data directory."
        yield Finding(check="database", state="fail", message="does not answer", fix=fix)


async def _plan(parts: Installation, settings: Settings) -> Finding:
    """Compare the file with what is there, as `apply` and `serve` do first."""
    try:
        plan = await Provisioner.of(parts).plan(settings)
    except GatewayError as error:
        fix = "Correct the file; see: safeconduct plan"
        return Finding(check="plan", state="fail", message=error.public, fix=fix)
    message = f"{several(len(plan.steps), 'change')} to apply" if plan.steps else "nothing to apply"
    return Finding(check="plan", state="ok", message=message)


def _trail(parts: Installation) -> Finding:
    reason = parts.trail.problem()
    if not reason:
        return Finding(check="audit trail", state="ok", message="can be written")
    fix = "Whatever has to be on record is refused until it can; make room, or see the log."
    message = f"cannot be written: {reason}"
    return Finding(check="audit trail", state="fail", message=message, fix=fix)


async def _rules(parts: Installation, settings: Settings) -> AsyncIterator[Finding]:
    """Verify what decides for each host, and say where a repository lets us down."""
    git = {said.key for said in settings.hosts if said.policy and said.policy.git}
    async with parts.database.read() as tx:
        standings = {
            host.key: await standing_of(tx, host.key) if host.key in git else Standing()
            for host in parts.hosts.every()
        }
    for host in parts.hosts.every():
        check, digest = f"policy of {host.key}", host.policies.policy_bundle
        found = standings[host.key]
        try:
            parts.shelf.of(host.key, digest)
        except LookupError:
            fix = "See: safeconduct policy status. Nothing is allowed on this host."
            message = "its bundle is missing or was altered"
            if digest == PENDING and host.policies.policy_by == "api":
                message, fix = "no rules were put by API yet", "Put some: see docs/bundles.md."
            elif digest == PENDING:
                message = f"its repository was not read yet{found.problem and ': '}{found.problem}"
            yield Finding(check=check, state="fail", message=message, fix=fix)
            continue
        if found.state in {"rejected", "unreachable"}:
            fix = "The last good rules decide. Mend the repository; see: safeconduct policy status"
            yield Finding(check=check, state="warn", message=found.problem, fix=fix)
            continue
        yield _judged(check, parts.shelf.of(host.key, digest).upon(Bundle.shipped()), digest)


def _judged(check: str, bundle: Bundle, digest: str) -> Finding:
    """Say whether rules that are there can decide, and would be taken today."""
    try:
        Embedded(bundle)
        refused = refused_today(bundle.own_modules, bundle.schema)
    except BundleError as error:
        fix = "Nothing is allowed on this host. Mend them and apply; or safeconduct policy rollback"
        message = f"its rules cannot be loaded: {error.public}"
        return Finding(check=check, state="fail", message=message, fix=fix)
    if refused:
        fix = "They decide as before. Mend them, and try with: safeconduct policy check"
        message = f"its rules would not be taken any more: {refused}"
        return Finding(check=check, state="warn", message=message, fix=fix)
    message = f"bundle {digest[:12]} is whole" if digest else "the built-in rules alone"
    return Finding(check=check, state="ok", message=message)


async def _servers(
    parts: Installation, host: HostSettings, told: Callable[[str], None]
) -> AsyncIterator[Finding]:
    for upstream in host.servers:
        if upstream.url is not None:
            told(upstream.key)
            yield await _upstream(parts, upstream, upstream.url)


async def _upstream(parts: Installation, said: UpstreamSettings, url: str) -> Finding:
    check = f"server {said.key}"
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            found = await parts.crawler.crawl(url)
    except GatewayError as error:
        known = error.fix if isinstance(error, CrawlFailed) else ""
        fix = known or "Check its url, that it runs, and server.allow_*_upstreams."
        return Finding(check=check, state="fail", message=error.public, fix=fix)
    except TimeoutError:
        message = f"took longer than {_PATIENCE_SECONDS:.0f} seconds"
        return Finding(check=check, state="fail", message=message, fix="See what keeps it busy.")
    tools = max(map(len, found.spellings), default=0)
    message = f"{' and '.join(found.eras)}; {tools} tools"
    message += _partly(chain(*found.spellings))
    imports = () if isinstance(said.imports, str) else said.imports
    bound = {name: [it.path for it in each.bindings] for name, each in said.tools.items()}
    unknown = (
        *unknown_names(imports, said.tools, names_of(found)),
        *lost_bindings(bound, schemas_in(found)),
    )
    omissions = (*unknown, *found.omissions)
    if not omissions:
        return Finding(check=check, state="ok", message=message)
    message += f"; not taken over: {named(omissions)}"
    fix = _OTHER_NAME if unknown else _MEND_THE_LIST
    return Finding(check=check, state="warn", message=message, fix=fix)


def _partly(definitions: Iterable[dict[str, Any]]) -> str:
    """Say which parts of schemas hold nothing back, since they cannot be checked."""
    found = unchecked(definitions)
    if not found:
        return ""
    more = f", and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return f"; not checked in schemas: {', '.join(found[:_MOST_NAMED])}{more}"
