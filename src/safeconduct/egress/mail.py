"""Sends plain-text mail over SMTP (RFC 5321): invitations, approvals, notices.

One message, one recipient, one connection. The password travels only over TLS or within this
machine.
"""

from __future__ import annotations

import asyncio
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import make_msgid
from typing import TYPE_CHECKING, Literal

import aiosmtplib

from safeconduct.core.clock import Clock, SystemClock
from safeconduct.core.emails import takes_mail
from safeconduct.core.errors import Code, GatewayError
from safeconduct.core.machines import is_this_machine
from safeconduct.egress.dial import verified_context

if TYPE_CHECKING:
    import ssl

    from safeconduct.core.secrets import Secret

Security = Literal["none", "starttls", "tls"]

_MAX_SUBJECT = 500


class MailFailed(GatewayError):
    """The message was not handed over. Never says to whom or through whom."""

    code = Code.UNAVAILABLE


class Mailer:
    """Hands messages to one mail server."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        sender: str,
        username: str | None = None,
        password: Secret | None = None,
        security: Security = "starttls",
        seconds: float = 10.0,
        tls: ssl.SSLContext | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Describe the server; nothing is connected yet.

        Args:
            host: The server's name.
            port: Usually 587 for `starttls`, 465 for `tls`.
            sender: The address in From.
            username: Given together with `password`, or neither.
            password: For SMTP authentication.
            security: `none` is for a server on this machine only.
            seconds: For the whole conversation.
            tls: A verifying context; by default the system's authorities.
            clock: Dates the messages; by default the machine's.

        Raises:
            ValueError: If the parts do not fit together, or an address is not one.
        """
        if security == "none" and not is_this_machine(host):
            raise ValueError("mail without TLS goes to this machine only")
        if (username is None) != (password is None):
            raise ValueError("a mail user name and its password come together")
        if not takes_mail(sender):
            raise ValueError("the sender is not a mail address")
        self._host = host
        self._port = port
        self._sender = sender
        self._username = username
        self._password = password
        self._security = security
        self._seconds = seconds
        self._tls = verified_context(tls) if tls is not None else None
        self._clock = clock or SystemClock()

    async def send(self, *, to: str, subject: str, text: str) -> None:
        """Hand over one message; returns when the server has taken responsibility for it.

        Raises:
            MailFailed: If it is not a message that may be sent, or the server does not take it.
        """
        message = self._compose(to, subject, text)
        try:
            async with asyncio.timeout(self._seconds):
                await aiosmtplib.send(
                    message,
                    sender=self._sender,
                    recipients=[to],
                    hostname=self._host,
                    port=self._port,
                    username=self._username,
                    password=self._password.reveal() if self._password is not None else None,
                    timeout=self._seconds,
                    use_tls=self._security == "tls",
                    # Explicit: the library's default takes STARTTLS only if it is offered.
                    start_tls=self._security == "starttls",
                    tls_context=self._tls,
                )
        except (aiosmtplib.SMTPException, OSError) as error:
            # The server's words may quote addresses or credentials, so they are not chained.
            raise MailFailed("the message could not be sent", type(error).__name__) from None

    def _compose(self, to: str, subject: str, text: str) -> EmailMessage:
        if not takes_mail(to):
            raise MailFailed("the recipient is not a mail address")
        if len(subject) > _MAX_SUBJECT or not subject.isprintable():
            raise MailFailed("the subject is not one printable line")
        message = EmailMessage(policy=SMTP)
        try:
            message["From"] = self._sender
            message["To"] = to
            message["Subject"] = subject
            message["Date"] = self._clock.now()
            message["Message-ID"] = make_msgid(domain=self._sender.rpartition("@")[2])
            message["Auto-Submitted"] = "auto-generated"  # RFC 3834 section 5
            message.set_content(text)
        except (ValueError, MessageError) as error:
            raise MailFailed("the message cannot be written") from error
        return message
