"""The demo's company: who works there, what they may let agents do, and on which servers."""

from __future__ import annotations

from typing import Any

from safeconduct.core.model import Level, ServerKey, Value
from safeconduct.rehearsal import Trial

HOST = "acme"
SERVERS = {
    ServerKey("tickets"): "Tickets",
    ServerKey("documents"): "Documents",
    ServerKey("chat"): "Chat",
}
_ABOUT = {
    "tickets": "Issues of Acme Robotics.",
    "documents": "The shared documents of Acme Robotics.",
    "chat": "Team chat of Acme Robotics.",
}


class Character(Value, frozen=True):
    """One of the company's people. `ceilings` come from the group, or are the person's own."""

    key: str
    name: str
    group: str
    ceilings: dict[ServerKey, Level]
    own: bool = False

    @property
    def email(self) -> str:
        return f"{self.key}@acme.test"


PEOPLE = (
    Character(
        key="alice",
        name="Alice",
        group="engineering",
        ceilings={
            ServerKey("tickets"): Level.MEDIUM,
            ServerKey("documents"): Level.HIGH,
            ServerKey("chat"): Level.MEDIUM,
        },
    ),
    Character(
        key="bob",
        name="Bob",
        group="analytics",
        ceilings=dict.fromkeys(SERVERS, Level.LOW),
    ),
    Character(
        key="carol",
        name="Carol",
        group="contractors",
        ceilings={ServerKey("tickets"): Level.LOW},
        own=True,
    ),
)


def passwords(trial: Trial) -> dict[str, str]:
    """Return everybody's password by key, made up for this installation."""
    return {person.key: trial.password(person.key)[0] for person in PEOPLE}


def host(trial: Trial, upstreams: dict[ServerKey, str]) -> dict[str, Any]:
    """Return the host as the configuration file says it.

    Args:
        trial: Where the passwords are kept.
        upstreams: URL of each server's process.
    """
    return {
        "key": HOST,
        "name": "Acme Robotics",
        "people": [
            {
                "email": person.email,
                "name": person.name,
                "password": trial.password(person.key)[1],
                "groups": [person.group],
            }
            for person in PEOPLE
        ],
        "servers": [
            {"key": key, "name": name, "url": upstreams[key], "description": _ABOUT[key]}
            for key, name in SERVERS.items()
        ],
        "access": [
            {**_whose(person), "server": server, "ceiling": level.word}
            for person in PEOPLE
            for server, level in person.ceilings.items()
        ],
    }


def _whose(person: Character) -> dict[str, str]:
    return {"person": person.email} if person.own else {"group": person.group}
