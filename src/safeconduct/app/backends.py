"""Chooses who answers questions about relations, as the settings say."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from safeconduct.app.policies import HostPolicies
from safeconduct.core.clock import Clock
from safeconduct.relations import Backend, Embedded, Relations, SchemaOf, host_schema, open_spicedb
from safeconduct.settings import RelationsSettings
from safeconduct.storage import Database, Feed

_MOST_LOOKED_AT = 20_000  # candidates of one search: some tens of milliseconds


@contextlib.asynccontextmanager
async def backend_of(
    said: RelationsSettings,
    database: Database,
    feed: Feed,
    clock: Clock,
    relations: Relations,
    schema_of: SchemaOf,
) -> AsyncIterator[Backend]:
    """Open the backend.

    Raises:
        BackendUnavailable: If the packages for it are not installed.
    """
    if said.engine == "embedded":
        yield Embedded(relations, schema_of=schema_of, clock=clock, most=_MOST_LOOKED_AT)
        return
    # The settings make sure that target and token are there.
    async with open_spicedb(
        database,
        feed,
        target=str(said.target),
        token=said.token.reveal() if said.token else "",
        schema_of=schema_of,
        plaintext=said.plaintext,
    ) as backend:
        yield backend


def schemas_of(policies: HostPolicies) -> SchemaOf:
    """Return what finds a host's schema: that of the rules in force."""
    return lambda host: host_schema(policies.of(host).schema)
