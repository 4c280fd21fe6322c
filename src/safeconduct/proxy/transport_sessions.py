"""The older era's `Mcp-Session-Id`, sealed so that any node can serve any request.

The id a client holds is the upstream's own id, encrypted and bound to host, person, client
and server. It identifies nobody: whoever presents it must still authenticate, and somebody
else's id is answered like one that never existed. It outlives a session of ours on purpose:
clients that are sent to sign in again, or to consent to more, carry on with the id they have.
"""

from __future__ import annotations

from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import Caller, HostId
from safeconduct.core.secrets import Sealer, SealError

_MAX_BYTES = 4096


class TransportSessions:
    """Seals and opens transport session ids, one key for each host."""

    def __init__(self, root_key: bytes) -> None:
        self._root_key = root_key
        self._sealers: dict[HostId, Sealer] = {}

    def seal(self, upstream_session: str, caller: Caller) -> str:
        return self._sealer(caller.host).seal(
            upstream_session.encode("latin-1"), bound_to=_bound(caller)
        )

    def open(self, presented: str, caller: Caller) -> str:
        """Return the upstream's id.

        Raises:
            Refused: NOT_FOUND, for a changed, foreign or unknown id alike.
        """
        unknown = Refused(Code.NOT_FOUND, "This transport session is not known.")
        if len(presented) > _MAX_BYTES:
            raise unknown
        try:
            plain = self._sealer(caller.host).open(presented, bound_to=_bound(caller))
        except SealError as error:
            raise unknown from error
        return plain.decode("latin-1")

    def _sealer(self, host: HostId) -> Sealer:
        sealer = self._sealers.get(host)
        if sealer is None:
            sealer = Sealer(self._root_key, purpose=f"transport-session {host}")
            self._sealers[host] = sealer
        return sealer


def _bound(caller: Caller) -> bytes:
    return f"{caller.host}\0{caller.subject}\0{caller.client}\0{caller.server}".encode()
