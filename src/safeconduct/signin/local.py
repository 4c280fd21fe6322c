"""Signing in with an address and a password, and signing out.

Whether a person is unknown, suspended, without a password or simply mistyped theirs: the
answer, the work and the record are of the same shape.
"""

from __future__ import annotations

from safeconduct import people
from safeconduct.audit import Event, Trail
from safeconduct.core.clock import Clock
from safeconduct.core.emails import LONGEST_EMAIL, is_email, normal_email
from safeconduct.core.errors import Code, GatewayError, Refused
from safeconduct.core.model import SubjectId, Value
from safeconduct.core.secrets import Secret
from safeconduct.hosts import Host
from safeconduct.people import Person
from safeconduct.signin.attempts import Attempts
from safeconduct.signin.browser import BrowserSession, BrowserSessions
from safeconduct.signin.passwords import Passwords
from safeconduct.storage import Database

_LONGEST_AGENT = 300

WRONG = "Email or password is wrong."


class Visitor(Value, frozen=True):
    """Where a request comes from, for the record and for counting attempts."""

    ip: str
    user_agent: str


class SlowDown(GatewayError):
    """Too many attempts; `seconds` says when the next one is looked at."""

    code = Code.THROTTLED

    def __init__(self, wait: float) -> None:
        self.seconds = max(1, round(wait))
        super().__init__(f"Too many attempts. Try again in {_span(self.seconds)}.")


class Local:
    """Signs people in by password."""

    def __init__(
        self,
        *,
        database: Database,
        passwords: Passwords,
        attempts: Attempts,
        browsers: BrowserSessions,
        trail: Trail,
        clock: Clock,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._attempts = attempts
        self._browsers = browsers
        self._trail = trail
        self._clock = clock

    async def sign_in(self, host: Host, *, email: str, password: str, visitor: Visitor) -> Secret:
        """Check a password and open a browser session; returns its handle.

        Raises:
            SlowDown: After too many attempts; the password was not looked at.
            Refused: UNAUTHENTICATED for everything that is wrong with address or password.
        """
        if not host.policies.sign_in.password:
            raise Refused(Code.FORBIDDEN, "This host does not sign people in by password.")
        address = normal_email(email)[:LONGEST_EMAIL]
        wait = self._attempts.begin(host.key, address, visitor.ip)
        if wait > 0:
            raise SlowDown(wait)
        person = await self._checked(host, address, password)
        if person is None:
            self._record("sign_in.failed", host, visitor, email=address)
            raise Refused(Code.UNAUTHENTICATED, WRONG)
        self._attempts.succeeded(host.key, address, visitor.ip)
        self._record("sign_in", host, visitor, email=person.email, subject=person.id)
        async with self._database.write() as tx:
            return await self._browsers.open(tx, host.key, person.id)

    async def sign_out(
        self, host: Host, session: BrowserSession, *, email: str, visitor: Visitor
    ) -> None:
        """End a browser session on the server; agents' sessions are not touched."""
        self._record("sign_out", host, visitor, email=email, subject=session.subject)
        async with self._database.write() as tx:
            await self._browsers.end(tx, session)

    async def _checked(self, host: Host, address: str, password: str) -> Person | None:
        async with self._database.read() as tx:
            found = await people.by_email(tx, host.key, address) if is_email(address) else None
        person, stored = found or (None, None)
        verdict = await self._passwords.verify(stored, password)
        if person is None or not person.active or not verdict.matches:
            return None
        if verdict.replacement is not None:
            async with self._database.write() as tx:
                await people.set_password(tx, host.key, person.id, verdict.replacement)
        return person

    def _record(
        self,
        kind: str,
        host: Host,
        visitor: Visitor,
        *,
        email: str,
        subject: SubjectId | None = None,
    ) -> None:
        failed = kind == "sign_in.failed"
        self._trail.append(
            Event(
                kind=kind,
                host=host.key,
                subject=subject,
                # What is no address may be a password in the wrong field; it is not kept.
                subject_email=email if is_email(email) else None,
                method="password",
                decision="deny" if failed else "allow",
                reason="credentials.wrong" if failed else None,
                ip=visitor.ip,
                user_agent=visitor.user_agent[:_LONGEST_AGENT],
            )
        )


def _span(seconds: int) -> str:
    if seconds < 120:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    return f"{round(seconds / 60)} minutes"
