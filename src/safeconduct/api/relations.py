"""A host's tuples over HTTPS: listed in pages, changed all or none.

Programs of the host do this, with the credentials of enforcement points and only as far as each
of them may. Nothing is changed here but what came this way.
"""

from __future__ import annotations

import json

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from safeconduct.api.http import answer, query_of
from safeconduct.api.managing import Matter, read_json
from safeconduct.api.refusals import bad
from safeconduct.api.tuples import Listing, read_edit, read_listing, resolved, shown, subject_of
from safeconduct.core.clock import Clock
from safeconduct.core.secrets import Sealer, SealError
from safeconduct.hosts import EnforcementPoint, Host
from safeconduct.people import People
from safeconduct.relations import Editor, some
from safeconduct.storage import Database

PATH = "/api/v1/relations"
MOST_BYTES = 256 * 1024
_RELATIONS = Matter("relations", lambda point: point.relations)


class RelationEndpoints:
    """The endpoints for a host's tuples."""

    def __init__(
        self,
        *,
        database: Database,
        people: People,
        editor: Editor,
        clock: Clock,
        root_key: bytes,
    ) -> None:
        self._database = database
        self._people = people
        self._editor = editor
        self._clock = clock
        self._sealer = Sealer(root_key, purpose="relations-page")

    def routes(self) -> list[Route]:
        return [
            _RELATIONS.route("GET", PATH, self.list),
            _RELATIONS.route("POST", PATH, self.edit),
        ]

    async def list(self, request: Request, host: Host, point: EnforcementPoint) -> Response:
        listing = read_listing(query_of(request))
        bound = f"{host.key}\n{listing.digest}".encode()
        which = listing.which
        if which.subject is not None:
            subject = await subject_of(self._people, host.key, which.subject)
            which = replace(which, subject=subject)
        async with self._database.read() as tx:
            found = await some(
                tx,
                host.key,
                which,
                at=self._clock.now(),
                most=listing.limit + 1,
                after=self._opened(listing, bound),
            )
        page = found[: listing.limit]
        token = ""
        if len(found) > len(page):
            last = json.dumps(page[-1].edge.key).encode()
            token = self._sealer.seal(last, bound_to=bound)
        return answer(
            {
                "relations": [shown(each) for each in page],
                "page": {"next_token": token, "count": len(page)},
            }
        )

    async def edit(self, request: Request, host: Host, point: EnforcementPoint) -> Response:
        said = read_edit(await read_json(request, most_bytes=MOST_BYTES))
        edit = await resolved(self._people, host.key, said)
        edited = await self._editor.edit(host.key, edit, by=f"enforcement point {point.id}")
        return answer(
            {
                "written": [str(each) for each in edited.written],
                "removed": [str(each) for each in edited.removed],
            }
        )

    def _opened(self, listing: Listing, bound: bytes) -> tuple[str, str, str] | None:
        if not listing.token:
            return None
        try:
            object_, relation, subject = json.loads(
                self._sealer.open(listing.token, bound_to=bound)
            )
        except SealError as error:
            raise bad("token is not of this listing; begin again without it.") from error
        return object_, relation, subject
