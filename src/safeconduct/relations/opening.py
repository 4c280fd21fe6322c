"""Opens what answers from a SpiceDB cluster, if the packages for it are installed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from safeconduct.relations.backend import Backend
from safeconduct.relations.errors import BackendUnavailable
from safeconduct.relations.guarded import Guarded
from safeconduct.relations.schema import SchemaOf
from safeconduct.storage import Database, Feed


@contextlib.asynccontextmanager
async def open_spicedb(
    database: Database,
    feed: Feed,
    *,
    target: str,
    token: str,
    schema_of: SchemaOf,
    plaintext: bool = False,
) -> AsyncIterator[Backend]:
    """Open a SpiceDB cluster.

    Args:
        database: Where tuples are stored and changes wait for the cluster.
        feed: Says which hosts have changed.
        target: `host:port`, as gRPC takes it; it names the cluster, too.
        token: The cluster's pre-shared key.
        schema_of: Each host's schema.
        plaintext: Do without TLS: for a cluster on the same machine.

    Raises:
        BackendUnavailable: If the packages for it are not installed.
    """
    try:
        from safeconduct.relations.spicedb import (  # noqa: PLC0415  an extra
            SpiceDb,
            opened,
        )
    except ImportError as error:
        raise BackendUnavailable(
            "SpiceDB needs packages that are not installed: pip install safeconduct[spicedb]"
        ) from error
    async with opened(target, plaintext=plaintext) as channel:
        backend = SpiceDb(database, feed, channel, schema_of=schema_of, cluster=target, token=token)
        try:
            yield Guarded(backend)
        finally:
            await backend.aclose()
