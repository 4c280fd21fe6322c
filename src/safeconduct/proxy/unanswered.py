"""What a caller hears when a server gives no usable answer: whose fault, what happened, what next.

The way out knows no names, and a model sees nothing but the sentence.
"""

from __future__ import annotations

from safeconduct.egress import UpstreamFailed
from safeconduct.proxy.calls import Call


def named(call: Call, error: UpstreamFailed) -> UpstreamFailed:
    """Return the failure with the server's name, whether anything can have happened, and advice."""
    name, reason = call.server.name, error.public.rstrip(".")
    if name in reason:  # it says all this already
        return error
    reason = reason[:1].lower() + reason[1:]
    if error.sent:
        public = (
            f"{name} gave no usable answer: {reason}. It may have acted on the request all the "
            "same. Look before you repeat it; if this goes on, tell an admin of this host."
        )
    else:
        public = (
            f"{name} cannot be reached: {reason}. Nothing was done there. Try again in a minute; "
            "if this goes on, tell an admin of this host."
        )
    failure = type(error)(public, sent=error.sent)
    failure.__cause__ = error
    return failure
