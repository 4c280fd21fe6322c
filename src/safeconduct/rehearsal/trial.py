"""A directory with a configuration file, its secrets, and the gateway that serves it."""

from __future__ import annotations

import asyncio
import http.client
import os
import secrets
import socket
import sys
from pathlib import Path
from typing import Any

import yaml

from safeconduct.rehearsal.programs import NotStarted, Program, Programs
from safeconduct.rehearsal.wire import get

_READY_SECONDS = 60
_ASK_AGAIN_SECONDS = 0.1
_PASSWORD_BYTES = 9
_CHOSEN_PORTS = range(12_000, 32_000)  # below what systems hand out by themselves


class Trial:
    """Files of one installation in one directory that only its owner may enter."""

    def __init__(self, directory: Path, *, port: int) -> None:
        self.directory = directory.absolute()
        self.port = port
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def config(self) -> Path:
        return self.directory / "safeconduct.yaml"

    @property
    def data(self) -> Path:
        return self.directory / "gateway"

    @property
    def audit(self) -> Path:
        return self.data / "audit"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    def password(self, who: str) -> tuple[str, dict[str, str]]:
        """Return a person's password, made up once, and the reference that names it."""
        path = self.directory / "secrets" / who
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(_PASSWORD_BYTES))
        return path.read_text("ascii"), {"file": f"secrets/{who}"}

    def write(self, *, server: dict[str, Any], host: dict[str, Any]) -> None:
        """Write the configuration file: what is given, and where it all is."""
        document = {
            "server": {
                "listen": f"127.0.0.1:{self.port}",
                "data_dir": self.data.name,
                "allow_loopback_upstreams": True,
                **server,
            },
            "hosts": [{"origin": self.origin, **host}],
        }
        self.config.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")

    async def serve(self, programs: Programs) -> Program:
        """Start the gateway and wait until it is ready.

        Raises:
            NotStarted: With its last words.
        """
        command = (sys.executable, "-m", "safeconduct", "serve", "-c", str(self.config))
        gateway = await programs.start("gateway", command, announces=False)
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while not await asyncio.to_thread(_answers, f"{self.origin}/readyz"):
                    if gateway.process.returncode is not None:
                        break
                    await asyncio.sleep(_ASK_AGAIN_SECONDS)
                else:
                    return gateway
        except TimeoutError:
            pass
        raise NotStarted(f"The gateway did not start.\n{gateway.last_words()}".strip())


def is_free(port: int) -> bool:
    """Tell whether a program may listen on a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port nobody listens on just now, and that nobody is given unasked.

    One the system hands out (port 0, outgoing connections) could be somebody else's again
    before the program that is told to listen there has started.
    """
    while not is_free(port := _CHOSEN_PORTS[secrets.randbelow(len(_CHOSEN_PORTS))]):
        pass
    return port


def _answers(url: str) -> bool:
    try:
        return get(url).status == 200
    except (OSError, http.client.HTTPException):
        return False
