"""nginx as the bare hop: `proxy_pass` with keep-alive and one worker, the floor for any proxy."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from safeconduct.rehearsal import NotStarted, Program, Programs, free_port, get

_PLACES = "/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"
_TRIES = 50
_PAUSE_SECONDS = 0.1
_PLENTY = 10_000_000


async def start(programs: Programs, home: Path, *, upstream: str) -> Program | None:
    """Start nginx before an upstream; None if it is not installed.

    Args:
        programs: Ends it.
        home: An absolute directory for its files, not there yet.
        upstream: The upstream's MCP endpoint.

    Raises:
        NotStarted: If it does not listen within five seconds.
    """
    command = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:{_PLACES}")
    if command is None:
        return None
    port = free_port()
    config = _write(home, port, urlsplit(upstream).netloc)
    program = await programs.start(
        "nginx", (command, "-c", str(config), "-p", str(home)), announces=False
    )
    url = f"http://127.0.0.1:{port}/mcp"
    for _ in range(_TRIES):
        try:
            await asyncio.to_thread(get, url)
        except OSError:
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            return program.at(url)
    raise NotStarted(f"nginx did not start.\n{program.last_words()}")


def _write(home: Path, port: int, upstream: str) -> Path:
    home.mkdir()
    config = home / "nginx.conf"
    config.write_text(_config(home, port, upstream), "utf-8")
    return config


def _config(home: Path, port: int, upstream: str) -> str:
    user = "user root;" if os.geteuid() == 0 else ""  # or its worker may not enter `home`
    temporary = "\n".join(
        f"  {kind}_temp_path {home}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
{user}
daemon off;
worker_processes 1;
pid {home}/nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests {_PLENTY};
{temporary}
  upstream stub {{ server {upstream}; keepalive 64; keepalive_requests {_PLENTY}; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://stub;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}
  }}
}}
"""
