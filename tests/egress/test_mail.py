"""Mail through a real SMTP server on loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope

from safeconduct.core.clock import ManualClock
from safeconduct.core.errors import Code
from safeconduct.core.secrets import Secret
from safeconduct.egress import Mailer, MailFailed
from tests.egress.certificates import Authority
from tests.egress.raw import Peer, RawServer

SENDER = "gateway@acme.test"


class Mailbox:
    """Takes what is delivered, and whom was let in."""

    def __init__(self, refusal: str = "") -> None:
        self.envelopes: list[Envelope] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self._refusal = refusal

    async def handle_DATA(  # noqa: N802  the handler's name is given
        self, server: SMTP, session: Any, envelope: Envelope
    ) -> str:
        if self._refusal:
            return self._refusal
        self.envelopes.append(envelope)
        return "250 OK"

    def login(self, server: SMTP, session: Any, envelope: Envelope, kind: str, data: Any) -> Any:
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"right", handled=False)


@asynccontextmanager
async def serving(
    mailbox: Mailbox, *, tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        secure = starttls is not None or tls is not None
        return SMTP(
            mailbox,
            loop=loop,
            hostname="mail.test",
            tls_context=starttls,
            require_starttls=starttls is not None,
            authenticator=mailbox.login if secure else None,
            auth_require_tls=tls is None,
        )

    server = await loop.create_server(session, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def plain(port: int) -> Mailer:
    return Mailer(host="127.0.0.1", port=port, sender=SENDER, security="none", clock=ManualClock())


async def test_a_message_arrives_as_written() -> None:
    mailbox = Mailbox()
    async with serving(mailbox) as port:
        await plain(port).send(to="bob@acme.test", subject="Grüße", text="Zeile 1\n.\nZeile ä\n")

    (envelope,) = mailbox.envelopes
    assert envelope.mail_from == SENDER
    assert envelope.rcpt_tos == ["bob@acme.test"]
    message = message_from_bytes(envelope.original_content or b"", policy=default)
    assert message["From"] == SENDER
    assert message["To"] == "bob@acme.test"
    assert message["Subject"] == "Grüße"
    assert message["Date"].datetime == ManualClock().now()
    assert message["Message-ID"].endswith("@acme.test>")
    assert message.get_content().splitlines() == ["Zeile 1", ".", "Zeile ä"]


@pytest.mark.parametrize(
    ("to", "subject"),
    [
        ("bob@acme.test\r\nBcc: eve@evil.test", "s"),
        ("bob@acme.test, eve@evil.test", "s"),
        ("Bob <bob@acme.test>", "s"),
        ("bob@acme.test>", "s"),
        ("bob@eve@acme.test", "s"),
        ("bob", "s"),
        ("@acme.test", "s"),
        ("bob@", "s"),
        ("", "s"),
        ("b" * 250 + "@acme.test", "s"),
        ("bob@acme.test", "s\r\nBcc: eve@evil.test"),
        ("bob@acme.test", "s\nx"),
        ("bob@acme.test", "s\x00"),
        ("bob@acme.test", "s\u2028x"),
        ("bob@acme.test", "s" * 501),
    ],
)
async def test_nothing_can_add_a_header_or_a_recipient(to: str, subject: str) -> None:
    mailbox = Mailbox()
    async with serving(mailbox) as port:
        with pytest.raises(MailFailed) as caught:
            await plain(port).send(to=to, subject=subject, text="t")

    assert caught.value.code is Code.UNAVAILABLE
    assert mailbox.envelopes == []


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_the_password_travels_over_verified_tls(tmp_path: Path, security: Any) -> None:
    authority = Authority(tmp_path)
    mailbox = Mailbox()
    context = {security: authority.serving("localhost", "127.0.0.1")}
    async with serving(mailbox, **context) as port:

        def mailer(password: str, tls: ssl.SSLContext) -> Mailer:
            return Mailer(
                host="127.0.0.1",
                port=port,
                sender=SENDER,
                username="gw",
                password=Secret(password),
                security=security,
                tls=tls,
            )

        await mailer("right", authority.trusting()).send(to="b@acme.test", subject="s", text="t")
        assert mailbox.logins == [(b"gw", b"right")]
        assert len(mailbox.envelopes) == 1

        with pytest.raises(MailFailed) as caught:
            await mailer("wr0ng", authority.trusting()).send(
                to="b@acme.test", subject="s", text="t"
            )
        assert "wr0ng" not in repr(caught.value)

        stranger = Authority(tmp_path)
        mailbox.logins.clear()
        with pytest.raises(MailFailed):
            await mailer("right", stranger.trusting()).send(to="b@acme.test", subject="s", text="t")
        assert mailbox.logins == []
        assert len(mailbox.envelopes) == 1


@pytest.mark.parametrize(
    "credentials",
    [{}, {"username": "gw", "password": Secret("right")}],
    ids=["without-password", "with-password"],
)
async def test_a_server_that_does_not_offer_tls_gets_neither_password_nor_message(
    tmp_path: Path, credentials: dict[str, Any]
) -> None:
    mailbox = Mailbox()
    async with serving(mailbox) as port:
        mailer = Mailer(
            host="127.0.0.1",
            port=port,
            sender=SENDER,
            **credentials,
            security="starttls",
            tls=Authority(tmp_path).trusting(),
        )
        with pytest.raises(MailFailed):
            await mailer.send(to="b@acme.test", subject="s", text="t")

    assert mailbox.logins == []
    assert mailbox.envelopes == []


async def test_a_refusal_by_the_server_is_a_failure_that_names_nobody() -> None:
    async with serving(Mailbox("550 no s3cret@acme.test here")) as port:
        with pytest.raises(MailFailed) as caught:
            await plain(port).send(to="bob@acme.test", subject="s", text="t")

    assert "acme" not in repr(caught.value)
    assert caught.value.__cause__ is None


async def test_a_server_that_is_silent_or_absent_is_a_failure_in_time() -> None:
    async with RawServer(Peer.gone) as silent:
        mailer = Mailer(
            host="127.0.0.1", port=silent.port, sender=SENDER, security="none", seconds=0.2
        )
        with pytest.raises(MailFailed):
            await mailer.send(to="bob@acme.test", subject="s", text="t")
        await silent.finished()
    with pytest.raises(MailFailed):
        await mailer.send(to="bob@acme.test", subject="s", text="t")


@pytest.mark.parametrize("host", ["mail.acme.test", "10.0.0.1", "localhost.acme.test", "127.1"])
def test_mail_without_tls_goes_to_this_machine_only(host: str) -> None:
    with pytest.raises(ValueError, match="this machine"):
        Mailer(host=host, port=25, sender=SENDER, security="none")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_mail_without_tls_may_go_to_this_machine(host: str) -> None:
    Mailer(host=host, port=25, sender=SENDER, security="none")


def test_a_mailer_whose_parts_do_not_fit_is_not_made() -> None:
    with pytest.raises(ValueError, match="together"):
        Mailer(host="mail.test", port=587, sender=SENDER, username="gw")
    with pytest.raises(ValueError, match="sender"):
        Mailer(host="mail.test", port=587, sender="Gateway <gateway@acme.test>")
