"""Decisions by OPA servers: the same input document, the same bundle, over REST.

The bundle is put on a server when that has no answer, as after its restart, and asked once
more; then there is no answer. Nothing here is kept from one decision to the next, so a server
that lost everything, or everybody, costs denials for as long as it lasts and no longer.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec

from safeconduct.egress import UpstreamFailed
from safeconduct.policy.bundle import Bundle
from safeconduct.policy.engine import MAX_ANSWER_BYTES
from safeconduct.policy.failures import EngineFailed
from safeconduct.policy.memory import Memory
from safeconduct.policy.opa_servers import Answered, OpaServer, OpaServers
from safeconduct.policy.relocation import relocated

_ENVELOPE_BYTES = 4096  # decision id and warnings around the answer
_LOADING_SECONDS = 30.0
_REFUSED_SECONDS = 1.0  # until rules that a server did not take are offered again
_COMPLAINT_BYTES = 64 * 1024
_COMPLAINT_LENGTH = 600
_log = logging.getLogger(__name__)


class _Envelope(msgspec.Struct):
    """OPA's answer to a data query; without a result the document is undefined."""

    result: msgspec.Raw = msgspec.Raw()


class _Where(msgspec.Struct, frozen=True):
    file: str = ""
    row: int = 0


class _Error(msgspec.Struct, frozen=True):
    message: str = ""
    location: _Where = _Where()


class _Complaint(msgspec.Struct):
    """What OPA says is wrong with a module."""

    errors: tuple[_Error, ...] = ()


class OpaEngine:
    """The rules of one host's bundle, run by the installation's OPA servers."""

    def __init__(self, bundle: Bundle, servers: OpaServers) -> None:
        """Make the bundle ready; nothing is sent yet.

        Raises:
            BundleError: If it cannot be put into an OPA server.
        """
        self.memory = Memory(None)  # a server may be told of other rules, by others
        self._relocated = relocated(bundle)
        self._servers = servers
        # A built-in that fails refuses, as it does here: undefined, it might let something through.
        self._path = f"/v1/data/{self._relocated.place}/answer?strict-builtin-errors=true"
        self._under_way = 0
        self._loading: dict[OpaServer, asyncio.Task[None]] = {}
        self._refused_until: dict[OpaServer, float] = {}

    async def evaluate(self, document: bytes) -> bytes:
        """Answer one input document."""
        if self._under_way >= self._servers.most_at_once:
            raise EngineFailed("the policy servers are busy")
        self._under_way += 1
        try:
            return await self._answer(b'{"input":%b}' % document)
        except TimeoutError:
            raise EngineFailed("the policy servers took too long") from None
        except UpstreamFailed as error:
            raise EngineFailed("no policy server answers", type(error).__name__) from None
        except msgspec.MsgspecError:
            raise EngineFailed("the policy server's answer is not one") from None
        finally:
            self._under_way -= 1

    async def _answer(self, body: bytes) -> bytes:
        until = asyncio.get_running_loop().time() + self._servers.timeout_seconds
        first, second = self._servers.two()
        try:
            return await self._decided(first, body, until)
        except UpstreamFailed:
            # A decision changes nothing, so asking twice does no harm. Not a third time.
            return await self._decided(second, body, until)

    async def _decided(self, server: OpaServer, body: bytes, until: float) -> bytes:
        answer = await self._asked(server, body, until)
        if answer is None:
            await self._load(server, until)
            answer = await self._asked(server, body, until)
        if answer is None:
            raise EngineFailed("the policy gave no answer")
        if len(answer) > MAX_ANSWER_BYTES:
            raise EngineFailed("the policy's answer is too large")
        return answer

    async def _asked(self, server: OpaServer, body: bytes, until: float) -> bytes | None:
        answered = await server.request(
            "POST", self._path, body, until=until, most_bytes=MAX_ANSWER_BYTES + _ENVELOPE_BYTES
        )
        if answered.status != 200:
            raise EngineFailed("the policy server refused to answer", answered.status)
        return bytes(msgspec.json.decode(answered.body, type=_Envelope).result) or None

    async def _load(self, server: OpaServer, until: float) -> None:
        """Have the bundle put there, once for all that wait; it goes on if nobody can."""
        loading = self._loading.get(server)
        if loading is None:
            if asyncio.get_running_loop().time() < self._refused_until.get(server, 0.0):
                raise EngineFailed("the policy server did not take the rules")
            loading = self._loading[server] = self._servers.work(self._put(server))
            loading.add_done_callback(lambda _: self._loading.pop(server, None))
        async with asyncio.timeout_at(until):
            await asyncio.wait({loading})  # which ends when the loading does, however that was

    async def _put(self, server: OpaServer) -> None:
        until = asyncio.get_running_loop().time() + _LOADING_SECONDS
        there = self._relocated
        wanted = [(f"/v1/data/{there.place}", there.data)]
        wanted += [(f"/v1/policies/{name}", text.encode()) for name, text in there.modules]
        try:
            for path, body in wanted:
                answered = await server.request(
                    "PUT", path, body, until=until, most_bytes=_COMPLAINT_BYTES
                )
                if answered.status not in {200, 204}:
                    self._complain(server, path, answered)
                    return
        except (UpstreamFailed, TimeoutError):
            _log.warning("OPA server %d could not be given the rules", server.number)

    def _complain(self, server: OpaServer, path: str, answered: Answered) -> None:
        now = asyncio.get_running_loop().time()
        self._refused_until[server] = now + _REFUSED_SECONDS
        said = self._servers.without_token(_told(answered.body))
        _log.warning(
            "OPA server %d does not take %s (status %d): %s",
            server.number,
            path,
            answered.status,
            " ".join(said.split())[:_COMPLAINT_LENGTH],
        )


def _told(body: bytes) -> str:
    """Return what OPA complains about, place first, or all of it where it has another shape."""
    try:
        errors = msgspec.json.decode(body, type=_Complaint).errors
    except (msgspec.MsgspecError, ValueError):
        errors = ()
    shown = [f"{each.location.file}:{each.location.row}: {each.message}" for each in errors]
    return "; ".join(shown) or body.decode(errors="replace")
