"""A company's forward proxy: connections go through it by CONNECT, names unresolved.

Nothing goes round it but what `no_proxy` names and this machine itself, and there is no direct
way when it fails. What is behind it is out of our sight, so addresses are judged where they are
spelled out, and only TLS is spoken, which names the other side.
"""

from __future__ import annotations

import asyncio
import re
from typing import cast
from urllib.parse import unquote, urlsplit

from safeconduct.core.bypasses import Bypasses, bypasses_of
from safeconduct.core.encoding import to_base64
from safeconduct.core.machines import is_this_machine
from safeconduct.core.model import Value
from safeconduct.core.secrets import Secret
from safeconduct.egress.failures import UpstreamFailed
from safeconduct.egress.requests import Origin

_MOST_HEAD = 16 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |\r\n)")


class ForwardProxy(Value, frozen=True):
    """Where the proxy is, and what does not go through it.

    Attributes:
        host: Its name or address.
        authorization: What it gets to see of us (`Proxy-Authorization`), if anything.
        direct: What is reached without it.
    """

    host: str
    port: int
    authorization: Secret | None = None
    direct: Bypasses = Bypasses()

    def carries(self, host: str) -> bool:
        """Whether a host is reached through the proxy."""
        return not is_this_machine(host.lower().rstrip(".")) and not self.direct.cover(host)


def parse_proxy(url: str, no_proxy: tuple[str, ...] = ()) -> ForwardProxy:
    """Read a proxy's address, as `HTTPS_PROXY` holds it.

    Args:
        url: The address.
        no_proxy: What is reached without it, as `core.bypasses` spells it.

    Raises:
        ValueError: If it is none that is spoken to here; the message holds nothing of it.
    """
    parts = urlsplit(url if "//" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname or parts.path not in {"", "/"}:
        raise ValueError("must be http://HOST:PORT, with user:password@ where it wants them")
    authorization = None
    if parts.username is not None:
        words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = Secret(f"Basic {to_base64(words.encode())}")
    return ForwardProxy(
        host=parts.hostname,
        port=parts.port or 80,
        authorization=authorization,
        direct=bypasses_of(no_proxy),
    )


class Tunnel(asyncio.Protocol):
    """Asks the proxy for a way through, and waits for its word; then there is nothing to say."""

    def __init__(self) -> None:
        self._line: asyncio.Transport | None = None
        self._head = bytearray()
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._line = cast("asyncio.Transport", transport)

    async def open(self, proxy: ForwardProxy, origin: Origin) -> None:
        """Have the proxy connect to an origin.

        Raises:
            UpstreamFailed: If it will not.
        """
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        target = f"{host}:{origin.port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", "User-Agent: safeconduct"]
        if proxy.authorization is not None:
            lines.append(f"Proxy-Authorization: {proxy.authorization.reveal()}")
        assert self._line is not None
        self._line.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        await self._opened

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self._opened.done():
            self._fail("the forward proxy says more than it should")
        elif b"\r\n\r\n" in self._head:
            self._judge()
        elif len(self._head) > _MOST_HEAD:
            self._fail("the forward proxy does not answer in HTTP/1.1")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the forward proxy closed the connection")

    def _judge(self) -> None:
        found = _STATUS.match(self._head)
        status = int(found[1]) if found else 0
        if status == 407:
            self._fail("the forward proxy wants a user name and a password that are right")
        elif not 200 <= status < 300:
            self._fail(f"the forward proxy does not connect to the upstream (HTTP {status})")
        elif not self._head.endswith(b"\r\n\r\n") or self._head.count(b"\r\n\r\n") != 1:
            self._fail("the forward proxy says more than it should")
        else:
            self._opened.set_result(None)

    def _fail(self, public: str) -> None:
        if not self._opened.done():
            self._opened.set_exception(UpstreamFailed(public, sent=False))
        elif self._line is not None:
            self._line.abort()
