"""What is asked of relations and what is answered, whoever answers."""

from __future__ import annotations

from safeconduct.core.model import Value


class Question(Value, frozen=True):
    """Asks whether `subject` has `permission` on `object`.

    Attributes:
        object: `type:id`.
        permission: A permission or relation of that type.
        subject: `type:id`, or `type:id#relation` for everybody who has it.
    """

    object: str
    permission: str
    subject: str

    def __str__(self) -> str:
        return f"{self.object}#{self.permission}@{self.subject}"


class Verdict(Value, frozen=True):
    """An answer.

    Attributes:
        allowed: Nothing but True is a yes.
        reason: One sentence.
        path: The permissions and edges that led to a yes, each with what it follows from
            behind it; empty for a no.
    """

    allowed: bool
    reason: str
    path: tuple[str, ...] = ()


class Subjects(Value, frozen=True):
    """Who has a permission.

    Attributes:
        found: Each of them by name, in order.
        everyone: A wildcard gives it to all of the type as well, named or not.
        excepted: Those whom the wildcard does not give it to, in order.
    """

    found: tuple[str, ...]
    everyone: bool = False
    excepted: tuple[str, ...] = ()
