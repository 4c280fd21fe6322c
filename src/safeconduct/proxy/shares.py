"""How much of a server one tenant and one person may have under way, so that others have theirs.

Counted from the decision to the end of the answer, for each origin behind us, apart for calls,
for streams that wait for whatever comes, and for messages that keep nobody waiting: none of
them ends another. What is over is refused at once and reaches no server. Counts are this
process's own: with several workers, each has as many.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from safeconduct.core.model import HostId, SubjectId, Value
from safeconduct.proxy.calls import Call
from safeconduct.proxy.refusals import Busy

_MOST_ORIGINS = 4096
Kind = Literal["call", "stream", "note"]
Held = tuple[tuple[Kind, str, HostId], tuple[Kind, str, HostId, SubjectId]]


class Share(Value, frozen=True):
    """How many of one kind, at one origin, a tenant and a person may have under way."""

    host: int
    person: int


class ShareLimits(Value, frozen=True):
    """The shares of each kind."""

    call: Share = Share(host=256, person=128)
    stream: Share = Share(host=512, person=128)
    note: Share = Share(host=64, person=16)

    def of(self, kind: Kind) -> Share:
        return self.call if kind == "call" else self.stream if kind == "stream" else self.note


class Shares:
    """Counts what is under way at each origin."""

    def __init__(self, limits: ShareLimits | None = None) -> None:
        self._limits = limits or ShareLimits()
        self._under_way: dict[tuple[object, ...], int] = {}
        self._origins: dict[str, str] = {}

    def take(self, call: Call, *, stands_in: bool = False) -> Held:
        """Count one more; what this returns has to be given back.

        Args:
            call: What is to be sent.
            stands_in: Whether it takes the place of one that is counted, and so is never refused.

        Raises:
            Busy: If the tenant or the person has its share; nothing was counted then.
        """
        kind, caller, url = kind_of(call), call.caller, call.server.url
        origin = self._origins.get(url) or self._origin(url)
        held = (kind, origin, caller.host), (kind, origin, caller.host, caller.subject)
        share, under_way = self._limits.of(kind), self._under_way
        of_host, of_person = under_way.get(held[0], 0), under_way.get(held[1], 0)
        if of_person >= share.person and not stands_in:
            raise _over(call, kind, "You have", share.person)
        if of_host >= share.host and not stands_in:
            raise _over(call, kind, "This host has", share.host)
        under_way[held[0]], under_way[held[1]] = of_host + 1, of_person + 1
        return held

    def give_back(self, held: Held) -> None:
        """Count one no more."""
        for key in held:
            left = self._under_way[key] - 1
            if left:
                self._under_way[key] = left
            else:
                del self._under_way[key]

    def _origin(self, url: str) -> str:
        parts = urlsplit(url)
        if len(self._origins) >= _MOST_ORIGINS:
            del self._origins[next(iter(self._origins))]
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found = self._origins[url] = f"{parts.scheme}://{parts.hostname}:{port}"
        return found


def kind_of(call: Call) -> Kind:
    """Say which share a message counts to."""
    if call.exchange.verb == "GET" or call.message.method == "subscriptions/listen":
        return "stream"
    return "call" if call.message.form == "request" else "note"


def _over(call: Call, kind: Kind, who: str, most: int) -> Busy:
    what = {"call": "calls", "stream": "streams", "note": "messages"}[kind]
    key = {"call": "upstream_calls", "stream": "upstream_streams", "note": ""}[kind]
    scope = "per_person" if who == "You have" else "per_host"
    raised = f" An admin can raise server.limits.{key}_{scope}." if key else ""
    return Busy(
        f"{who} {most} {what} open at {call.server.name}, the most at a time. Nothing was done. "
        f"Wait for one to end, or end one, and try again.{raised}"
    )
