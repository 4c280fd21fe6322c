"""The text of one relation, `object#relation@subject`, for the file, the APIs and the store.

`ticket:T-7#assignee@user:alice@acme.test`, with `[expiration:2026-12-01T00:00:00Z]` behind it
where it ends. One reader, so that what the file may say can also be stored.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

_EXPIRATION = "[expiration:"
_TEXT = re.compile(
    r"(?P<object>[a-z][a-z0-9_/]{0,62}:(?!\*#)[^#@\s]{1,256})"
    r"#(?P<relation>[a-z][a-z0-9_]{0,62})"
    r"@(?P<subject>[a-z][a-z0-9_/]{0,62}:(?!\*#)"
    r"[^#@\s]{1,256}?@?[^#@\s]{0,127}?(#[a-z][a-z0-9_]{0,62})?)"
    r"(\[expiration:(?P<expires_at>[0-9TZ:.+-]{20,40})\])?"
)


class Edge(NamedTuple):
    """What the text says."""

    object: str
    relation: str
    subject: str
    expires_at: datetime | None


def read_edge(text: str) -> Edge:
    """Read the text form; an expiration is in RFC 3339 and brackets behind it.

    Raises:
        ValueError: If the text is not `type:id#relation@type:id[#relation]`.
    """
    match = _TEXT.fullmatch(text)
    if match is None or _EXPIRATION in match["object"] + match["subject"]:
        raise ValueError(f"{text!r} is not object#relation@subject")
    until = match["expires_at"]
    if until is None:
        return Edge(match["object"], match["relation"], match["subject"], None)
    try:
        return Edge(match["object"], match["relation"], match["subject"], read_instant(until))
    except ValueError as error:
        raise ValueError(f"{text!r} is not object#relation@subject: {error}") from error


def read_instant(text: str) -> datetime:
    """Read a time of RFC 3339, which has a zone; returns it in UTC.

    Raises:
        ValueError: If it is none.
    """
    try:
        found = datetime.fromisoformat(text)
        in_utc = found.astimezone(UTC)
    except (ValueError, OverflowError) as error:  # the first and last day have no place in UTC
        raise ValueError(f"{text} is no time; write it like 2026-11-21T12:00:00Z") from error
    if found.tzinfo is None:
        raise ValueError(f"{text} has no zone; write it like 2026-11-21T12:00:00Z")
    return in_utc
