"""Ways in that go through a mailbox: a forgotten password, and a first account.

Asking is answered alike whatever is known about the address, and at once: mail is sent
after the answer. Nothing exists, changes or ends before a link came back by a button.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from safeconduct import people
from safeconduct.audit import Event, Trail
from safeconduct.core.clock import Clock
from safeconduct.core.emails import normal_email, takes_mail
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import HostId, SubjectId
from safeconduct.core.secrets import Secret
from safeconduct.egress import Mailer, MailFailed
from safeconduct.hosts import Host
from safeconduct.signin import links
from safeconduct.signin.attempts import Attempts
from safeconduct.signin.browser import BrowserSessions
from safeconduct.signin.links import Purpose
from safeconduct.signin.local import SlowDown, Visitor
from safeconduct.signin.passwords import LONGEST_BYTES, Passwords
from safeconduct.storage import Database, Write

_MOST_MAILS_WAITING = 100
_LONGEST_NAME = 100
_log = logging.getLogger(__name__)

_RESET_TEXT = """\
Somebody, hopefully you, asked to set a new password for {email} at {host}.

Open this page and choose one. The link works once, for 30 minutes:

{link}

If it was not you, do nothing. Your password stays as it is.
"""
_OWNED_TEXT = """\
Somebody, hopefully you, asked to set a new password for {email} at {host}.

Your password is set by the configuration of this gateway ({place}), so it cannot be changed here.
Ask whoever runs the gateway to change it there.

If it was not you, do nothing. Your password stays as it is.
"""
_SIGN_UP_TEXT = """\
Somebody, hopefully you, asked for an account for {email} at {host}.

Open this page to create it. The link works once, for 30 minutes:

{link}

If it was not you, do nothing. No account is created.
"""
_KNOWN_TEXT = """\
Somebody, hopefully you, asked for an account for {email} at {host}. You have one already.

Sign in here: {sign_in}
If you forgot your password, set a new one: {forgot}
"""


Owner = Callable[[HostId, str], str]


def _nobody(_host: HostId, _email: str) -> str:
    return ""


class Recovery:
    """Resets passwords and creates accounts, by mail; without a mailer, offers neither.

    Its `attempts` are those of signing in: whoever came in through a mailed link is let in
    from there, however many others guess.
    """

    def __init__(
        self,
        *,
        database: Database,
        passwords: Passwords,
        attempts: Attempts,
        browsers: BrowserSessions,
        trail: Trail,
        clock: Clock,
        mailer: Mailer | None,
        owner: Owner = _nobody,
    ) -> None:
        """Take what is needed.

        Args:
            mailer: Sends the links; without one nothing is offered.
            owner: Says which line of the configuration gives somebody their password, or "".
        """
        self._database = database
        self._passwords = passwords
        self._attempts = attempts
        self._browsers = browsers
        self._trail = trail
        self._clock = clock
        self._mailer = mailer
        self._owner = owner
        self._sending: set[asyncio.Task[None]] = set()

    def reset_open(self, host: Host) -> bool:
        """Say whether a forgotten password can be reset by mail."""
        return self._mailer is not None and host.policies.sign_in.password

    def sign_up_open(self, host: Host) -> bool:
        """Say whether strangers may create accounts."""
        return self.reset_open(host) and host.policies.sign_in.sign_up

    async def ask_reset(self, host: Host, *, email: str, visitor: Visitor) -> None:
        """Mail a link to a person of that address, if there is one; never says whether.

        Raises:
            SlowDown: After too many requests for that address, or from that network.
        """
        address = self._begin(host, email, visitor, open_=self.reset_open(host))
        if address is None:
            return
        async with self._database.write() as tx:
            found = await people.by_email(tx, host.key, address)
            subject = found[0].id if found and found[0].active else None
            self._record("password.reset_asked", host, visitor, address, subject)
            # Made for everybody, so that asking costs the same; mailed only to people.
            token = await links.issue(
                tx, host.key, Purpose.RESET, email=address, at=self._clock.now()
            )
        if subject is not None:
            link, place = _link(host, "/login/reset", token), self._owner(host.key, address)
            text = _OWNED_TEXT if place else _RESET_TEXT
            self._send(
                address,
                f"Set a new password for {host.name}",
                text.format(email=address, host=host.name, link=link, place=place),
            )

    async def ask_account(self, host: Host, *, email: str, visitor: Visitor) -> None:
        """Mail a link that proves the address; nothing exists before it comes back."""
        address = self._begin(host, email, visitor, open_=self.sign_up_open(host))
        if address is None:
            return
        async with self._database.write() as tx:
            found = await people.by_email(tx, host.key, address)
            usable = found is not None and found[1] is not None
            self._record("person.asked", host, visitor, address, found[0].id if found else None)
            token = await links.issue(
                tx, host.key, Purpose.SIGN_UP, email=address, at=self._clock.now()
            )
        if found is not None and not found[0].active:
            return
        text = _KNOWN_TEXT if usable else _SIGN_UP_TEXT
        self._send(
            address,
            f"Your account at {host.name}",
            text.format(
                email=address,
                host=host.name,
                link=_link(host, "/login/confirm", token),
                sign_in=host.url("/login"),
                forgot=host.url("/login/forgot"),
            ),
        )

    async def address_of(self, host: Host, purpose: Purpose, token: str) -> str:
        """Return the address of a link that can still be used, without using it.

        Raises:
            Refused: NOT_FOUND if it was used, ran out, or never was.
        """
        async with self._database.read() as tx:
            email = await links.address_of(tx, host.key, purpose, token=token, at=self._clock.now())
        if email is None:
            raise _stale()
        return email

    async def reset(self, host: Host, *, token: str, password: str, visitor: Visitor) -> None:
        """Set a new password with a mailed link, and end every browser session.

        Raises:
            Refused: NOT_FOUND for a link that cannot be used, CONFLICT where the configuration
                gives the password.
        """
        address = await self.address_of(host, Purpose.RESET, token)
        if place := self._owner(host.key, address):
            raise Refused(
                Code.CONFLICT,
                f"The configuration of this gateway sets your password ({place}), so it was not "
                "changed. Ask whoever runs the gateway to change it there.",
            )
        hashed = await self._new_hash(host, password)
        async with self._database.write() as tx:
            email = await links.use(tx, host.key, Purpose.RESET, token=token, at=self._clock.now())
            found = await people.by_email(tx, host.key, email) if email else None
            if found is None or not found[0].active:
                raise _stale()
            person = found[0]
            self._record("password.reset", host, visitor, person.email, person.id)
            await people.set_password(tx, host.key, person.id, hashed)
            await self._browsers.end_all(tx, host.key, person.id)
        self._attempts.succeeded(host.key, person.email, visitor.ip)

    async def create(
        self, host: Host, *, token: str, name: str, password: str, visitor: Visitor
    ) -> None:
        """Create the account a link was mailed for, or give a pre-authorised person theirs."""
        if not self.sign_up_open(host):
            raise _stale()
        await self.address_of(host, Purpose.SIGN_UP, token)
        hashed = await self._new_hash(host, password)
        async with self._database.write() as tx:
            email = await links.use(
                tx, host.key, Purpose.SIGN_UP, token=token, at=self._clock.now()
            )
            if email is None:
                raise _stale()
            await self._bind(tx, host, email, name, hashed, visitor)

    async def aclose(self) -> None:
        """Wait for mail that is on its way."""
        await asyncio.gather(*self._sending)

    async def _bind(
        self, tx: Write, host: Host, email: str, name: str, hashed: str, visitor: Visitor
    ) -> None:
        found = await people.by_email(tx, host.key, email)
        if found is None:
            self._record("person.created", host, visitor, email, None)
            await people.create(
                tx,
                host.key,
                email=email,
                name=_cleaned_name(name) or email.partition("@")[0],
                at=self._clock.now(),
                password_hash=hashed,
            )
            return
        person, stored = found
        if stored is not None or not person.active:  # came into being since the mail was sent
            raise _stale()
        self._record("password.reset", host, visitor, person.email, person.id)
        await people.set_password(tx, host.key, person.id, hashed)

    def _begin(self, host: Host, email: str, visitor: Visitor, *, open_: bool) -> str | None:
        if not open_:
            raise Refused(Code.NOT_FOUND, "This host does not offer that.")
        address = normal_email(email)
        if not takes_mail(address):
            raise Refused(Code.INVALID_PARAMS, "Enter an email address, like name@example.com.")
        # Counted apart from guesses: who forgot a password has just guessed often enough.
        wait = self._attempts.begin(host.key, f"mail {address}", visitor.ip)
        if wait > 0:
            raise SlowDown(wait)
        return address

    async def _new_hash(self, host: Host, password: str) -> str:
        shortest = host.policies.sign_in.minimum_length
        if len(password) < shortest:
            raise Refused(
                Code.INVALID_PARAMS, f"Choose a password of at least {shortest} characters."
            )
        if len(password.encode("utf-8", "surrogatepass")) > LONGEST_BYTES:
            raise Refused(Code.INVALID_PARAMS, "That password is too long.")
        return await self._passwords.hash(password)

    def _send(self, to: str, subject: str, text: str) -> None:
        if self._mailer is None or len(self._sending) >= _MOST_MAILS_WAITING:
            _log.warning("mail.dropped")
            return
        task = asyncio.get_running_loop().create_task(
            self._deliver(self._mailer, to, subject, text)
        )
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _deliver(self, mailer: Mailer, to: str, subject: str, text: str) -> None:
        try:
            await mailer.send(to=to, subject=subject, text=text)
        except MailFailed as failure:
            # The person cannot be told without telling whether the address is known.
            _log.warning("mail.failed %s", failure.public)

    def _record(
        self, kind: str, host: Host, visitor: Visitor, email: str, subject: SubjectId | None
    ) -> None:
        self._trail.append(
            Event(
                kind=kind,
                host=host.key,
                subject=subject,
                subject_email=email,
                method="mail",
                ip=visitor.ip,
                user_agent=visitor.user_agent[:300],
            )
        )


def _link(host: Host, path: str, token: Secret) -> str:
    return f"{host.url(path)}?token={token.reveal()}"


def _stale() -> Refused:
    return Refused(
        Code.NOT_FOUND, "This link was used already or is older than 30 minutes. Ask for a new one."
    )


def _cleaned_name(name: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())[:_LONGEST_NAME]
