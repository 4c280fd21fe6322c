"""The ids of a stream's events, sealed so that each person takes up only their own streams.

Servers keep events by id alone, and whoever names one is sent what came after it (MCP
2025-11-25, transports: resumability). What a client holds is therefore the server's id,
encrypted and bound to host, person, client, server, session and transport session. Anybody
else's, an altered one, or the server's own is answered like one that never existed.
"""

from __future__ import annotations

from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import Caller, HostId
from safeconduct.core.secrets import Sealer, SealError
from safeconduct.upstreams import id_of, with_id

_MOST_BYTES = 1024  # of a server's own id; beyond, the event goes out without one
_CONTROLS = bytes([*range(32), 127])  # no header can bring these back
_MOST_SEALED = 2 * _MOST_BYTES


class EventIds:
    """Seals and opens the ids of events, one key for each host."""

    def __init__(self, root_key: bytes) -> None:
        self._root_key = root_key
        self._sealers: dict[HostId, Sealer] = {}

    def leave(self, event: bytes, caller: Caller, upstream_session: str | None) -> bytes:
        """Return an event with its id sealed; unchanged if it has none."""
        found = id_of(event)
        if found is None or not found.value:  # an empty one takes back the last, and tells nothing
            return event
        value = found.value
        if len(value) > _MOST_BYTES or value.translate(None, _CONTROLS) != value:
            return with_id(event, found, None)
        bound = _bound(caller, upstream_session)
        sealed = self._sealer(caller.host).seal(value, bound_to=bound)
        return with_id(event, found, sealed.encode("ascii"))

    def open(self, presented: str, caller: Caller, upstream_session: str | None) -> bytes:
        """Return the server's own id.

        Raises:
            Refused: INVALID_PARAMS, for an altered, foreign or unknown id alike.
        """
        unknown = Refused(
            Code.INVALID_PARAMS,
            "This Last-Event-ID was not given to this session. Open the stream without it.",
        )
        if len(presented) > _MOST_SEALED:
            raise unknown
        try:
            bound = _bound(caller, upstream_session)
            return self._sealer(caller.host).open(presented, bound_to=bound)
        except SealError as error:
            raise unknown from error

    def _sealer(self, host: HostId) -> Sealer:
        sealer = self._sealers.get(host)
        if sealer is None:
            sealer = Sealer(self._root_key, purpose=f"event-id {host}")
            self._sealers[host] = sealer
        return sealer


def _bound(caller: Caller, upstream_session: str | None) -> bytes:
    who = f"{caller.host}\0{caller.subject}\0{caller.client}\0{caller.server}\0{caller.session}"
    return f"{who}\0{'' if upstream_session is None else f'in {upstream_session}'}".encode()
