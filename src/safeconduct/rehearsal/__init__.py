"""What the demo and the benchmark share: an installation on trial and somebody to use it.

Programs as children that cannot outlive their parent, a gateway with an invented
configuration, and a person who reads pages as people do, by the names things bear. All of
it stands outside the gateway and knows only what anybody outside may know.
"""

from safeconduct.rehearsal.browser import Browser, Unexpected
from safeconduct.rehearsal.grants import obtain_token
from safeconduct.rehearsal.pages import Missing, Page
from safeconduct.rehearsal.person import Person
from safeconduct.rehearsal.programs import NotStarted, Program, Programs
from safeconduct.rehearsal.trial import Trial, free_port, is_free
from safeconduct.rehearsal.wire import Answer, exchange, get, post_json

__all__ = [
    "Answer",
    "Browser",
    "Missing",
    "NotStarted",
    "Page",
    "Person",
    "Program",
    "Programs",
    "Trial",
    "Unexpected",
    "exchange",
    "free_port",
    "get",
    "is_free",
    "obtain_token",
    "post_json",
]
