"""A body that arrives while the world changes: its request is looked at again when it is whole.

Who began to send may have lost the right to be answered before the last byte came, and whoever
took it away was told that it is gone. So with the last piece this process catches up, and what
is decided afterwards is decided on what holds by then. The host that a request was let in to
must be the same as well: handlers look at enforcement points before they read.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import Receive

from safeconduct.edge.door import Approach, Door, Turned
from safeconduct.hosts import Host

_CHANGED = Turned(
    503,
    {
        "error": "unavailable",
        "message": "The host was changed while the message arrived. Nothing was done. Send it "
        "again.",
    },
    ((b"retry-after", b"1"),),
)


class TurnedLate(HTTPException):
    """A request that was let in and is turned away after its body."""

    def __init__(self, turned: Turned) -> None:
        headers = {name.decode(): value.decode() for name, value in turned.headers}
        super().__init__(turned.status, turned.body.get("message"), headers)
        self.turned = turned


class Arriving:
    """Receives a request, and looks at it again with its last piece."""

    def __init__(self, receive: Receive, *, door: Door, approach: Approach, host: Host) -> None:
        self._receive = receive
        self._door = door
        self._approach = approach
        self._host = host
        self._whole = False

    async def __call__(self) -> MutableMapping[str, Any]:
        """Return the next event (ASGI 3.0).

        Raises:
            TurnedLate: If the request would not be let in any more.
        """
        event = await self._receive()
        if event["type"] == "http.request" and not event.get("more_body") and not self._whole:
            self._whole = True
            await self._door.keep_up()
            found = self._door.find(self._approach)
            if isinstance(found, Turned):
                raise TurnedLate(found)
            if found != self._host:
                raise TurnedLate(_CHANGED)
        return event
