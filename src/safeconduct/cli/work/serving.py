"""Serves."""

from __future__ import annotations

from pathlib import Path

from safeconduct.app import check_place, installed, sole_server
from safeconduct.app import serve as serve_installation
from safeconduct.cli.failures import OURS, Failed
from safeconduct.cli.output import Out
from safeconduct.cli.work.asking import settings_of
from safeconduct.cli.work.first_start import check_apart
from safeconduct.cli.work.ports import unusable
from safeconduct.settings import ServerSettings
from safeconduct.storage import StorageError, StoreUnavailable


def serve(config: Path, *, as_json: bool) -> int:
    """Serve until told to stop; returns the exit code."""
    settings = settings_of(config)
    server, out = settings.server, Out(as_json=as_json)
    addresses = [host.origin for host in settings.hosts]
    with_hosts = f" for {', '.join(addresses)}" if addresses else ""

    def listening(address: str) -> None:
        out.sentence(
            f"Serving on {address}{with_hosts}; Ctrl-C ends it.", listen=address, origins=addresses
        )
        out.flush()

    check_place(server.data_dir)
    if not server.data_dir.exists():
        _check_address(server)  # before anything is made
    if not installed(server):
        check_apart(config)
    try:
        with sole_server(server.data_dir, listen=server.listen):
            _check_address(server)
            return serve_installation(settings, listening=listening)
    except StoreUnavailable:
        raise  # it has a sentence of its own
    except StorageError as error:
        raise Failed(
            "The database does not answer or refuses. See: safeconduct doctor", exit_code=OURS
        ) from error


def _check_address(server: ServerSettings) -> None:
    if reason := unusable(server.listen_host, server.listen_port):
        raise Failed(
            f"{server.listen} cannot be listened on: {reason.lower()}. "
            "End what listens there, or choose another server.listen."
        )
