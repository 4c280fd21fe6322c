"""Draws pages: templates that escape, and the headers every page of ours carries.

No page has a script, a style attribute or anything from elsewhere, and the policy says so
(Content Security Policy Level 3). A form that ends in a redirect to a client needs that one
target in `form-action`, or browsers stop the whole submission.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from safeconduct.hosts import Host
from safeconduct.web.stylesheet import Stylesheet

_TEMPLATES = Path(__file__).parent / "templates"
_ONE_YEAR_SECONDS = 31_536_000


class Drawing:
    """Turns a template and its values into a response."""

    def __init__(self, stylesheet: Stylesheet) -> None:
        self._stylesheet = stylesheet
        self._templates = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["day"] = _day
        self._templates.filters["moment"] = _moment

    def page(
        self,
        host: Host | None,
        template: str,
        *,
        status: int = 200,
        form_targets: Sequence[str] = (),
        **values: object,
    ) -> Response:
        """Draw one page.

        Args:
            host: The tenant, or None where none was found.
            template: Name of a file in `templates/`.
            status: HTTP status.
            form_targets: CSP sources that a form's redirect may lead to, besides this
                origin; each comes from a checked redirect URI.
            values: For the template.
        """
        text = self._templates.get_template(template).render(
            host=host, stylesheet=self._stylesheet.path, **values
        )
        return HTMLResponse(
            text, status_code=status, headers=page_headers(host, form_targets=form_targets)
        )


def page_headers(host: Host | None, *, form_targets: Sequence[str] = ()) -> dict[str, str]:
    """Return the headers of every HTML answer."""
    targets = " ".join(("'self'", *form_targets))
    headers = {
        "Content-Security-Policy": (
            "default-src 'none'; style-src 'self'; img-src 'self'; "
            f"form-action {targets}; base-uri 'none'; frame-ancestors 'none'"
        ),
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        # Not no-referrer: browsers would send our own forms with "Origin: null".
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    if host is not None and host.secure:
        headers["Strict-Transport-Security"] = f"max-age={_ONE_YEAR_SECONDS}"
    return headers


def see_other(url: str) -> Response:
    """Answer a form or a detour with "look there" (RFC 9110 section 15.4.4)."""
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    response = RedirectResponse("/", status_code=303, headers=headers)
    response.headers["Location"] = url  # as it is: the client compares it byte for byte
    return response


def _day(at: datetime) -> str:
    return f"{at.astimezone(UTC):%-d %b %Y}"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%-d %b %Y, %H:%M} UTC"
