"""A person in front of the gateway's pages: signs in, decides, takes it back.

Knows the pages only by what is promised of them: the fields Email and Password, the
buttons Sign in, Select {server name}, Allow, Deny and End now, the group Trust level, the
list Duration.
"""

from __future__ import annotations

from safeconduct.rehearsal.browser import Browser, Unexpected
from safeconduct.rehearsal.pages import Page


class Person:
    """Somebody with an email address, a password and a browser. Blocking; run it in a thread."""

    def __init__(self, *, origin: str, email: str, password: str) -> None:
        self._browser = Browser(origin)
        self._email = email
        self._password = password
        self.offered: dict[str, bool] = {}

    def allow(self, url: str, *, server: str, level: str, duration: str = "1 hour") -> str:
        """Follow a link of an agent and allow what it asks for.

        Args:
            url: Where the agent sends the browser.
            server: The server's name, in case the page asks which.
            level: Low, Medium or High; what could be chosen is in `offered` afterwards.
            duration: One of the page's.

        Returns:
            The address of the agent that the browser is sent back to.

        Raises:
            Missing: If the page does not offer that.
            Unexpected: If it leads anywhere else.
        """
        page = self._decision(url, server)
        if isinstance(page, str):
            return page
        self.offered = page.choices("Trust level")
        entries = {"Trust level": level, "Duration": duration}
        return _away(self._browser.press(page, "Allow", entries))

    def deny(self, url: str, *, server: str) -> str:
        """Follow a link of an agent and deny what it asks for."""
        page = self._decision(url, server)
        return page if isinstance(page, str) else _away(self._browser.press(page, "Deny"))

    def end(self, server: str) -> Page:
        """End what was allowed on a server, on the account page; returns what it shows then."""
        page = self._signed_in("/account")
        return _here(self._browser.press(_here(page), f"End now {server}"))

    def _decision(self, url: str, server: str) -> Page | str:
        page = self._signed_in(url)
        if isinstance(page, Page) and page.has_button(f"Select {server}"):
            page = self._browser.press(page, f"Select {server}")
        return page

    def _signed_in(self, url: str) -> Page | str:
        page = self._browser.open(url)
        if isinstance(page, Page) and page.has_button("Sign in"):
            entries = {"Email": self._email, "Password": self._password}
            page = self._browser.press(page, "Sign in", entries)
        return page


def _away(place: Page | str) -> str:
    if isinstance(place, Page):
        raise Unexpected(f"the browser was not sent back but shown: {place.text[:300]}")
    return place


def _here(place: Page | str) -> Page:
    if isinstance(place, str):
        raise Unexpected("the browser was sent away")
    return place
