"""A cluster as the rest of the gateway sees it: an answer in time, or `BackendUnavailable`.

Whatever goes wrong between here and the cluster is one error, said once in the log when it
begins and once when it is over, however many questions it costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence

from safeconduct.core.model import HostId
from safeconduct.relations.backend import Backend
from safeconduct.relations.errors import BackendUnavailable, SchemaError
from safeconduct.relations.questions import Question, Subjects, Verdict
from safeconduct.relations.tuples import Tuple
from safeconduct.storage import StorageError

PATIENCE_SECONDS = 2.5
_log = logging.getLogger(__name__)


class Guarded:
    """Asks a backend that may be away, slow, or refuse."""

    def __init__(self, backend: Backend, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Take the backend.

        Args:
            backend: Whom to ask.
            seconds: How long a question may take, whatever it waits for.
        """
        self._backend = backend
        self._seconds = seconds
        self._away = False

    @property
    def passing(self) -> bool:
        return self._backend.passing

    async def check(
        self, host: HostId, question: Question, *, contextual: Sequence[Tuple] = ()
    ) -> Verdict:
        async with self._watched(self._seconds):
            return await self._backend.check(host, question, contextual=contextual)

    async def check_many(
        self,
        host: HostId,
        questions: Sequence[Question],
        *,
        contextual: Sequence[Tuple] = (),
        at: float | None = None,
    ) -> list[Verdict]:
        async with self._watched(self._seconds):
            return await self._backend.check_many(host, questions, contextual=contextual, at=at)

    async def lookup_resources(
        self,
        host: HostId,
        kind: str,
        permission: str,
        subject: str,
        *,
        contextual: Sequence[Tuple] = (),
    ) -> list[str]:
        async with self._watched(self._seconds):
            return await self._backend.lookup_resources(
                host, kind, permission, subject, contextual=contextual
            )

    async def lookup_subjects(
        self,
        host: HostId,
        object_: str,
        permission: str,
        kind: str,
        *,
        contextual: Sequence[Tuple] = (),
    ) -> Subjects:
        async with self._watched(self._seconds):
            return await self._backend.lookup_subjects(
                host, object_, permission, kind, contextual=contextual
            )

    async def relations_of(self, host: HostId, kind: str) -> list[str]:
        async with self._watched(self._seconds):
            return await self._backend.relations_of(host, kind)

    async def prepare(self, host: HostId) -> None:
        """Do what takes long beforehand; what fails is tried again by the first question."""
        with contextlib.suppress(BackendUnavailable):
            async with self._watched(None):
                await self._backend.prepare(host)

    @contextlib.asynccontextmanager
    async def _watched(self, seconds: float | None) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except BackendUnavailable as error:
            self._missed(error)
            raise
        # The store, the host's schema, or an answer that is none: there is no answer either way.
        except (TimeoutError, StorageError, LookupError, SchemaError, ValueError) as error:
            self._missed(error)
            raise BackendUnavailable("The relations cannot be asked now.") from error
        if self._away:
            self._away = False
            _log.info("relations can be asked again")

    def _missed(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            said = ": ".join(map(str, error.args)) or type(error).__name__
            _log.warning("relations cannot be asked, so what needs them is denied: %s", said)
