"""A browser of a few lines: cookies, redirects within one origin, forms.

It keeps cookies by name alone, which is exact for `__Host-` cookies, and like browsers do
it takes http://localhost for a secure place, so `Secure` cookies work there.
"""

from __future__ import annotations

from collections.abc import Mapping
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urljoin

from safeconduct.rehearsal.pages import Page
from safeconduct.rehearsal.wire import Answer, exchange

_MOST_REDIRECTS = 10


class Unexpected(Exception):
    """The site did something nobody could act on."""


class Browser:
    """Visits one origin."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._cookies: dict[str, str] = {}

    def open(self, url: str) -> Page | str:
        """Return the page at an address, or the address elsewhere that it leads to."""
        return self._follow(self._send(urljoin(self._origin, url)))

    def press(
        self, page: Page, button: str, entries: Mapping[str, str] | None = None
    ) -> Page | str:
        """Fill a form of a page in, press a button, and go where that leads."""
        submission = page.press(button, entries)
        body = urlencode(submission.fields)
        if submission.method == "GET":
            return self.open(f"{submission.url}?{body}")
        return self._follow(self._send(submission.url, body=body.encode()))

    def _send(self, url: str, *, body: bytes | None = None) -> Answer:
        headers = {"accept": "text/html", "user-agent": "Mozilla/5.0 (scripted person)"}
        if self._cookies:
            headers["cookie"] = "; ".join(
                f"{name}={value}" for name, value in self._cookies.items()
            )
        if body is not None:
            headers["content-type"] = "application/x-www-form-urlencoded"
            headers["origin"] = self._origin
            headers["sec-fetch-site"] = "same-origin"
        answer = exchange(url, method="GET" if body is None else "POST", headers=headers, body=body)
        for name, value in answer.headers:
            if name == "set-cookie":
                self._keep(value)
        return answer

    def _keep(self, header: str) -> None:
        for name, cookie in SimpleCookie(header).items():
            if cookie["max-age"] == "0" or not cookie.value:
                self._cookies.pop(name, None)
            else:
                self._cookies[name] = cookie.value

    def _follow(self, answer: Answer) -> Page | str:
        for _ in range(_MOST_REDIRECTS):
            location = answer.header("location")
            if answer.status not in {302, 303} or not location:
                html = answer.body.decode("utf-8", "replace")
                return Page(html, url=answer.url, status=answer.status)
            target = urljoin(answer.url, location)
            if not target.startswith(f"{self._origin}/"):
                return target
            answer = self._send(target)
        raise Unexpected(f"{answer.url} leads round in circles")
