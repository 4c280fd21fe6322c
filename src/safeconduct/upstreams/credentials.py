"""The header values a plain HTTP API wants, sealed from the configuration to the wire.

Sealed with the installation's key for one host, and bound to server, address and header: who
moves a stored value to another tenant, another server or another address has moved nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from safeconduct.core.model import HostId, ServerKey
from safeconduct.core.secrets import Sealer, SealError, Secret
from safeconduct.egress import UpstreamFailed
from safeconduct.upstreams.catalogue import Server
from safeconduct.upstreams.descriptions import Wanted


class Sealed(NamedTuple):
    """A server with its credentials, and whether they are others than before."""

    wanted: Wanted
    changed: bool


class Credentials:
    """Seals and opens header values, one key for each host."""

    def __init__(self, root_key: bytes) -> None:
        self._root_key = root_key
        self._sealers: dict[HostId, Sealer] = {}

    def sealed(
        self, host: HostId, wanted: Wanted, plain: Mapping[str, Secret], known: Wanted | None
    ) -> Sealed:
        """Return a server with its header values sealed; what is stored already stays as it is.

        Args:
            host: The tenant.
            wanted: The server as it is to be.
            plain: The values by the names of their headers.
            known: The server as it is stored, if it is.
        """
        if wanted.http is None:
            return Sealed(wanted, changed=False)
        before = {} if known is None or known.http is None else known.http.credentials
        now, changed = {}, before.keys() != plain.keys()
        for name, secret in plain.items():
            stored, same = before.get(name), False
            if known is not None and stored is not None:
                same = self._holds(stored, secret, _bound(known.key, known.url, name), host)
                changed = changed or not same
            if same and known is not None and known.url == wanted.url:
                now[name] = str(stored)
            else:
                value = secret.reveal().encode("ascii")
                bound = _bound(wanted.key, wanted.url, name)
                now[name] = self._sealer(host).seal(value, bound_to=bound)
        return Sealed(replace(wanted, http=replace(wanted.http, credentials=now)), changed)

    def opened(self, server: Server) -> list[tuple[bytes, bytes]]:
        """Return the headers to send; ask for them where they are sent, and keep them nowhere.

        Raises:
            UpstreamFailed: If one does not open; nothing must be sent without it.
        """
        sealed = server.api or {}
        try:
            return [
                (
                    name.encode("ascii"),
                    self._sealer(server.host).open(
                        value, bound_to=_bound(server.key, server.url, name)
                    ),
                )
                for name, value in sealed.items()
            ]
        except SealError as error:
            said = f"The credentials of {server.name} cannot be read. Ask an admin."
            raise UpstreamFailed(said, sent=False) from error

    def _holds(self, stored: str, secret: Secret, bound: bytes, host: HostId) -> bool:
        try:
            value = self._sealer(host).open(stored, bound_to=bound)
        except SealError:  # sealed under another key: as good as none
            return False
        return Secret(value.decode("ascii")) == secret

    def _sealer(self, host: HostId) -> Sealer:
        sealer = self._sealers.get(host)
        if sealer is None:
            sealer = Sealer(self._root_key, purpose=f"http-credentials {host}")
            self._sealers[host] = sealer
        return sealer


def _bound(server: ServerKey, url: str, header: str) -> bytes:
    return f"{server}\0{url}\0{header}".encode()
