"""What the demo servers share: how they are built, announced and stopped.

A served process prints one line, `ready http://127.0.0.1:PORT/mcp`, when it accepts
connections and nothing else on standard output; it ends with status 0 on SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import signal
import socket
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from mcp.server import MCPServer

from safeconduct.core.clock import SystemClock
from safeconduct.demo.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
    from starlette.applications import Starlette

_STREAM_GRACE_SECONDS = 1


def new_server(name: str, *, title: str, instructions: str, store: Store) -> MCPServer[Any]:
    """Make an MCP server that writes each tools/call into the store before running it."""

    async def recorded(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if ctx.method == "tools/call" and ctx.params is not None:
            store.record(str(ctx.params.get("name")), ctx.params.get("arguments") or {})
        return await call_next(ctx)

    return MCPServer(
        name,
        title=title,
        instructions=instructions,
        version="1.0",
        log_level="WARNING",
        middleware=[recorded],
    )


def run(name: str, build: Callable[[Store], MCPServer[Any]]) -> None:
    """Read the command line (`--port`, `--data`) and serve until told to stop."""
    parser = argparse.ArgumentParser(prog=f"python -m safeconduct.demo.{name}")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--data", type=Path, required=True, help="directory of the database")
    options = parser.parse_args()
    options.data.mkdir(parents=True, exist_ok=True)
    seed = files("safeconduct.demo").joinpath(f"{name}.sql").read_text("utf-8")
    store = Store(options.data / f"{name}.sqlite", clock=SystemClock(), seed=seed)
    serve(build(store).streamable_http_app(), port=options.port)


def serve(app: Starlette, *, port: int) -> None:
    """Serve an MCP application on 127.0.0.1 until SIGTERM or SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again once it has shut down; that must mean success.
        signal.signal(number, lambda *_: sys.exit(0))
    listener = socket.create_server(("127.0.0.1", port))
    bound = listener.getsockname()[1]
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        ws="none",
        # httptools leaves the blanks behind a header's value, h11 trims them (RFC 9110, 5.5).
        http="h11",
        # Streams stay open as long as their client likes; they must not hold up the end.
        timeout_graceful_shutdown=_STREAM_GRACE_SECONDS,
    )
    _Announcing(config, url=f"http://127.0.0.1:{bound}/mcp").run(sockets=[listener])


class _Announcing(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, *, url: str) -> None:
        super().__init__(config)
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(f"ready {self._url}\n")
        sys.stdout.flush()
