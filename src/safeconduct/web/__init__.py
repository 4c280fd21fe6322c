"""People's pages: plain HTML that works without a script."""

from safeconduct.web.drawing import Drawing, page_headers, see_other
from safeconduct.web.hooks import PolicyHook
from safeconduct.web.refusals import ErrorPages
from safeconduct.web.routes import PeoplePages
from safeconduct.web.stylesheet import Stylesheet

__all__ = [
    "Drawing",
    "ErrorPages",
    "PeoplePages",
    "PolicyHook",
    "Stylesheet",
    "page_headers",
    "see_other",
]
