"""SpiceDB itself behind an ordinary gRPC port, so that the real client can be used on it.

The embedded library serves streams on a socket of its own and everything else by function
calls; this hands each request on, as bytes, without looking.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from spicedb_embedded import SpiceDBError, ffi

from tests.relations.oracle import Oracle

_PERMISSIONS = "/authzed.api.v1.PermissionsService"
_SCHEMAS = "/authzed.api.v1.SchemaService"
_CALLS = {
    f"{_PERMISSIONS}/CheckBulkPermissions": ffi.spicedb_permissions_check_bulk_permissions,
    f"{_PERMISSIONS}/WriteRelationships": ffi.spicedb_permissions_write_relationships,
    f"{_PERMISSIONS}/DeleteRelationships": ffi.spicedb_permissions_delete_relationships,
    f"{_SCHEMAS}/ReadSchema": ffi.spicedb_schema_read_schema,
    f"{_SCHEMAS}/WriteSchema": ffi.spicedb_schema_write_schema,
}
_CODES = {
    "NotFound": grpc.StatusCode.NOT_FOUND,
    "FailedPrecondition": grpc.StatusCode.FAILED_PRECONDITION,
    "InvalidArgument": grpc.StatusCode.INVALID_ARGUMENT,
}


class Cluster(grpc.GenericRpcHandler):
    """One SpiceDB on a port of 127.0.0.1."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self.asked: list[str] = []
        self.down = False
        self.hangs = asyncio.Event()
        self.hangs.set()
        self.target = "127.0.0.1:0"
        self.before_write: Any = None

    async def start(self) -> str:
        """Serve, on the same port as before if it was stopped; returns the address."""
        self._stream = grpc.aio.insecure_channel(
            f"unix://{self._oracle.spicedb.streaming_address()}"
        )
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((self,))
        port = self._server.add_insecure_port(self.target)
        await self._server.start()
        self.target = f"127.0.0.1:{port}"
        return self.target

    async def stop(self) -> None:
        await self._server.stop(None)
        await self._stream.close()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = details.method
        self.asked.append(method.rpartition("/")[2])
        if method in _CALLS:

            async def one(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
                return await self._one(method, request, context)

            return grpc.unary_unary_rpc_method_handler(one)

        async def many(request: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
            await self._up(context)
            async for found in self._stream.unary_stream(method)(request):
                yield found

        return grpc.unary_stream_rpc_method_handler(many)

    async def _one(self, method: str, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        await self._up(context)
        if method.endswith("WriteRelationships") and self.before_write is not None:
            hook, self.before_write = self.before_write, None
            await hook()
        handle = self._oracle.spicedb._handle
        try:
            return await asyncio.to_thread(_CALLS[method], handle, request)
        except SpiceDBError as error:
            code = str(error).partition("code = ")[2].partition(" ")[0]
            await context.abort(_CODES.get(code, grpc.StatusCode.UNKNOWN), str(error))
            raise

    async def _up(self, context: grpc.aio.ServicerContext) -> None:
        await self.hangs.wait()
        if self.down:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "down")
