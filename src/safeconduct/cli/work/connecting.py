"""The lines that make each client use the gateway, from the file alone. Pure but for printing."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable

from safeconduct.cli.failures import Failed
from safeconduct.cli.output import Out
from safeconduct.cli.work.asking import Asked, settings_of
from safeconduct.core.model import Value
from safeconduct.settings import HostSettings


class Lines(Value, frozen=True):
    """What to do, in order.

    Attributes:
        run: Commands for a shell.
        file: The client's file to add `content` to, or "".
        content: What to add, as JSON.
        then: What to do afterwards, as a sentence.
    """

    run: tuple[str, ...] = ()
    file: str = ""
    content: str = ""
    then: str = ""


def connect(asked: Asked, client: str, *, server: str | None) -> None:
    """Print one client's lines."""
    host = _host(settings_of(asked.config).hosts, asked.host)
    known = [each.key for each in host.servers]
    if server is not None and server not in known:
        names = ", ".join(known) or "none"
        raise Failed(f"Host {host.key} has no server {server}. It has: {names}")
    url = f"{host.origin}/mcp" + (f"/{server}" if server else "")
    found = lines_for(client, name=server or host.key, url=url)
    out = Out(as_json=asked.as_json)
    if asked.as_json:
        out.value(
            {
                "client": client,
                "url": url,
                "run": found.run,
                "file": found.file or None,
                "content": json.loads(found.content) if found.content else None,
                "then": found.then or None,
            }
        )
        return
    for line in found.run:
        out.line(line)
    if found.file:
        out.line(f"Add to {found.file}:")
        for line in found.content.splitlines():
            out.line(line)
    if found.then:
        out.line(found.then)


def lines_for(client: str, *, name: str, url: str) -> Lines:
    """Return what to do so that a client uses an endpoint.

    Args:
        client: One of CLIENTS.
        name: What the client shall call it.
        url: The MCP endpoint, without a slash at its end: several clients compare it exactly.
    """
    return CLIENTS[client](name, url)


def _claude_code(name: str, url: str) -> Lines:
    return Lines(
        run=(
            f"claude mcp add --transport http {shlex.quote(name)} {shlex.quote(url)}",
            f"claude mcp login {shlex.quote(name)}",
        )
    )


def _codex(name: str, url: str) -> Lines:
    return Lines(
        run=(f"codex mcp add {shlex.quote(name)} --url {shlex.quote(url)}",),
        then=f"Codex signs in at once; later: codex mcp login {shlex.quote(name)}",
    )


def _cursor(name: str, url: str) -> Lines:
    return Lines(
        file="~/.cursor/mcp.json",
        content=_json({"mcpServers": {name: {"url": url}}}),
        then="Then sign in under Settings, MCP.",
    )


def _vscode(name: str, url: str) -> Lines:
    about = json.dumps({"name": name, "type": "http", "url": url})
    return Lines(
        run=(f"code --add-mcp {shlex.quote(about)}",),
        then="VS Code signs in when the server is started: MCP: List Servers.",
    )


def _gemini(name: str, url: str) -> Lines:
    return Lines(
        file="~/.gemini/settings.json",
        content=_json({"mcpServers": {name: {"httpUrl": url}}}),
        then=f"Then start gemini and type: /mcp auth {name}",
    )


def _opencode(name: str, url: str) -> Lines:
    return Lines(
        file="opencode.json",
        content=_json({"mcp": {name: {"type": "remote", "url": url, "enabled": True}}}),
        then=f"Then: opencode mcp auth {shlex.quote(name)}",
    )


def _inspector(_name: str, url: str) -> Lines:
    line = (
        "MCP_AUTO_OPEN_ENABLED=true npx @modelcontextprotocol/inspector --cli "
        f"--server-url {shlex.quote(url)} --transport http --method tools/list"
    )
    return Lines(run=(line,))


def _mcp_remote(name: str, url: str) -> Lines:
    return Lines(
        file="the client's list of MCP servers",
        content=_json(
            {"mcpServers": {name: {"command": "npx", "args": ["-y", "mcp-remote", url]}}}
        ),
        then="For clients that only start programs. The browser opens at the first message.",
    )


CLIENTS: dict[str, Callable[[str, str], Lines]] = {
    "claude-code": _claude_code,
    "codex": _codex,
    "cursor": _cursor,
    "vscode": _vscode,
    "gemini": _gemini,
    "opencode": _opencode,
    "inspector": _inspector,
    "mcp-remote": _mcp_remote,
}


def _json(value: object) -> str:
    return json.dumps(value, indent=2)


def _host(hosts: tuple[HostSettings, ...], key: str | None) -> HostSettings:
    known = ", ".join(host.key for host in hosts) or "none"
    chosen = [host for host in hosts if key is None or host.key == key]
    if len(chosen) != 1:
        raise Failed(f"Name one host of the file with --host; there are: {known}")
    return chosen[0]
