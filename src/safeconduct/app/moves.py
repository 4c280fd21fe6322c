"""A step and the doing of it: what comparing produces, and what applying carries out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from safeconduct.app.plan import Action, Step
from safeconduct.core.model import HostId, SubjectId
from safeconduct.core.secrets import Secret
from safeconduct.oauth import Clients
from safeconduct.storage import Write


@dataclass(frozen=True, kw_only=True)
class Doing:
    """What acts work with, inside one transaction.

    Attributes:
        hashes: Password hashes that were made beforehand, by `noun/email`.
        ids: Ids of the people by address; grows as people are created.
    """

    tx: Write
    host: HostId
    at: datetime
    clients: Clients
    hashes: dict[str, str]
    ids: dict[str, SubjectId]


Act = Callable[[Doing], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Move:
    """One step with its act; `secret` is what must be hashed, under `hashed`, before it."""

    step: Step
    act: Act
    secret: Secret | None = None
    hashed: str = ""


@dataclass(frozen=True, kw_only=True)
class Mover:
    """Makes the moves of one host."""

    host: HostId
    made: list[Move] = field(default_factory=list)

    def add(
        self,
        noun: str,
        key: str,
        action: Action,
        what: tuple[str, ...],
        act: Act,
        *,
        secret: Secret | None = None,
    ) -> None:
        """Note one step; one with nothing to say is no step."""
        if not what:
            return
        step = Step(host=self.host, noun=noun, key=key, action=action, what=what)
        self.made.append(Move(step=step, act=act, secret=secret, hashed=hashed_as(noun, key)))


def hashed_as(noun: str, email: str) -> str:
    """Name the place of a password's hash."""
    return f"{noun}/{email}"
