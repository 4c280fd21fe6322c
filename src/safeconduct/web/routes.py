"""People's pages, put together."""

from __future__ import annotations

from starlette.routing import Route

from safeconduct.consent import Consents
from safeconduct.core.clock import Clock
from safeconduct.oauth import Authorizations, Clients, Revocations
from safeconduct.people import People
from safeconduct.relations import Ceilings
from safeconduct.signin import BrowserSessions, Local, Recovery
from safeconduct.storage import Database
from safeconduct.upstreams import Catalogue
from safeconduct.web.account import AccountPages
from safeconduct.web.consent import ConsentPages, Reach
from safeconduct.web.desk import Desk
from safeconduct.web.drawing import Drawing
from safeconduct.web.login import LoginPages
from safeconduct.web.mailbox import MailboxPages
from safeconduct.web.refusals import ErrorPages
from safeconduct.web.stylesheet import Stylesheet


class PeoplePages:
    """Sign in, decide, see and end what was allowed."""

    def __init__(
        self,
        *,
        database: Database,
        people: People,
        ceilings: Ceilings,
        catalogue: Catalogue,
        consents: Consents,
        clients: Clients,
        authorizations: Authorizations,
        revocations: Revocations,
        browsers: BrowserSessions,
        local: Local,
        recovery: Recovery,
        reach: Reach,
        clock: Clock,
        stylesheet: Stylesheet,
        drawing: Drawing,
        errors: ErrorPages,
    ) -> None:
        desk = Desk(browsers=browsers, people=people, drawing=drawing, errors=errors)
        self._stylesheet = stylesheet
        self._login = LoginPages(desk=desk, local=local, recovery=recovery)
        self._mailbox = MailboxPages(desk=desk, recovery=recovery)
        self._consent = ConsentPages(
            desk=desk,
            login=self._login,
            authorizations=authorizations,
            catalogue=catalogue,
            ceilings=ceilings,
            consents=consents,
            reach=reach,
            clock=clock,
        )
        self._account = AccountPages(
            desk=desk,
            database=database,
            catalogue=catalogue,
            clients=clients,
            revocations=revocations,
            clock=clock,
        )

    def routes(self) -> list[Route]:
        return [
            *self._stylesheet.routes(),
            *self._login.routes(),
            *self._mailbox.routes(),
            *self._consent.routes(),
            *self._account.routes(),
        ]
