"""The PDP's answer, and the obligations an allow depends on: a closed, tagged union.

An obligation the enforcement point does not know fails to decode, and what fails to decode is
a deny (XACML 3.0 section 7.2.1: a PEP permits only if it can discharge every one).

Pointers are JSON pointers (RFC 6901) into a result's data, where a segment `*` stands for every
item of an array and every member of an object, and `**` for any number of levels. A tool's data
is its `structuredContent` or, without that, each text of its `content` that is JSON; a resource's
is each text of `contents`, a prompt's each text of its messages.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from safeconduct.core.model import Level, Value, Whose

Word = Literal["low", "medium", "high"]
Role = Literal["approver", "admin", "owner"]  # from least to most
Pointer = Annotated[str, msgspec.Meta(pattern=r"^(/([^~/]|~[01])*)*$", max_length=512)]
Below = Annotated[str, msgspec.Meta(pattern=r"^(/([^~/]|~[01])*)+$", max_length=512)]
Pointers = Annotated[tuple[Below, ...], msgspec.Meta(min_length=1, max_length=64)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Some = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=86_400)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class _Obligation(Value, frozen=True, tag_field="type"):
    """Base of all obligations; `type` names the kind."""


class RequireApproval(_Obligation, frozen=True, tag="require_approval"):
    """Hold the call until an operator with the role, or a higher one, says yes."""

    role: Role = "approver"
    within_seconds: Seconds = 300


class RequireConsent(_Obligation, frozen=True, tag="require_consent"):
    """Ask the person again, unless they chose at least this level so short a time ago."""

    within_seconds: Seconds
    level: Word | None = None


class Throttle(_Obligation, frozen=True, tag="throttle"):
    """Let at most `count` calls through in any `seconds`, counted for each `per`."""

    count: Some
    seconds: Seconds
    per: Literal["session", "agent", "person", "tool"] = "session"


class Notify(_Obligation, frozen=True, tag="notify"):
    """Write down, in a record of its own, that somebody should hear of this call."""

    about: Text


class Ttl(_Obligation, frozen=True, tag="ttl"):
    """Let nothing that comes of this decision live longer: a token, or a stream."""

    seconds: Seconds


class Redact(_Obligation, frozen=True, tag="redact"):
    """Remove what the pointers name from the result."""

    pointers: Pointers


class Mask(_Obligation, frozen=True, tag="mask"):
    """Replace what the pointers name by stars, but for the last characters of a text."""

    pointers: Pointers
    keep_last: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0


class Filter(_Obligation, frozen=True, tag="filter"):
    """Keep of a list only the items whose object the caller has the permission on.

    Attributes:
        items: Points to the array.
        object: Spells an item's object, such as `ticket:{id}`, from the item's own members.
        permission: What the subject needs on it.
        subject: Whose permission: the person's, or the agent's.
    """

    items: Pointer
    object: Text
    permission: Text
    subject: Whose = "person"


class MaxItems(_Obligation, frozen=True, tag="max_items"):
    """Cut the array the pointer names to its first items."""

    items: Pointer
    count: Count


Incoming = RequireApproval | RequireConsent | Throttle | Notify | Ttl
Outgoing = Redact | Mask | Filter | MaxItems
Obligation = Incoming | Outgoing
MOST_OBLIGATIONS = 32


class Decision(Value, frozen=True):
    """The PDP's answer.

    `allow` has no default: nobody becomes allowed by leaving a field out.

    Attributes:
        id: Names this decision in the log and in the caller's error.
        allow: Whether the call may go on.
        reason: Stable machine text, such as `ceiling.exceeded`.
        message: One sentence for the reader: what happened and what to do next.
        required_level: Level the action needs, or None where levels do not apply.
        effective_level: min(granted, ceiling) of this caller, or None when there is none.
        step_up: True only where the person could raise the level by consenting again:
            the ceiling allows it and the consent does not.
        bundle: Digest of the rules and data that decided.
        obligations: What the PEP must do, on the way in and on the way out. Whoever cannot
            do one of them must not let the call through.
        rules: Ids of the rules that decided; for an allow, of those that oblige to something.
        basis: The facts it was decided on, as JSON: everything but the arguments. With them
            and the bundle the decision can be computed again.
        arguments: Those arguments, as JSON; not for any log as they are.
        unfit: What of them does not fit the schema of the tool, without any value; "" if all does.
    """

    id: str
    allow: bool
    reason: str
    message: str
    bundle: str
    required_level: Level | None = None
    effective_level: Level | None = None
    step_up: bool = False
    obligations: tuple[Obligation, ...] = ()
    rules: tuple[str, ...] = ()
    basis: bytes = b""
    arguments: bytes = b""
    unfit: str = ""
