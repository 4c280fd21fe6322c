"""What is asked of the relations for one request, and the answers as facts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from safeconduct.core.binding import Binding, Question, asked_of_arguments
from safeconduct.core.model import AccessRequest
from safeconduct.policy.facts import RelationFact
from safeconduct.relations import agent, person

Spelled = tuple[str, str, str]


class Answered(NamedTuple):
    """What the relations say to one question, the tuples that led to a yes, and a sentence.

    Attributes:
        known: False where nobody could be asked; then a no is not the relations' own.
    """

    allowed: bool
    path: tuple[str, ...] = ()
    reason: str = ""
    known: bool = True


class Wanted(NamedTuple):
    """Everything to be asked about one request: a name ("" for bindings) beside each question."""

    names: tuple[str, ...]
    questions: tuple[Spelled, ...]

    @property
    def known(self) -> list[Spelled]:
        """The questions that name an object; the others are answered no."""
        return [question for question in self.questions if question[0]]


NOTHING = Wanted((), ())


def asked(
    request: AccessRequest,
    bound: Sequence[Question],
    own: Sequence[tuple[str, Binding]],
) -> Wanted:
    """Return what bindings, and the host's own rules, want to know.

    Args:
        request: What they are about.
        bound: The questions of the bindings.
        own: The host's questions by name; they are about arguments, which a list has none of.
    """
    wanted = [("", question) for question in bound]
    if request.phase != "list":
        wanted += [
            (name, question)
            for name, binding in own
            for question in asked_of_arguments((binding,), request.arguments)
        ]
    if not wanted:
        return NOTHING
    caller = request.caller
    who = {"person": person(caller.subject), "agent": agent(caller.client)}
    return Wanted(
        names=tuple(name for name, _ in wanted),
        questions=tuple(
            (question.object, question.permission, who[question.subject]) for _, question in wanted
        ),
    )


def told(wanted: Wanted, answers: Iterable[Answered]) -> tuple[RelationFact, ...]:
    """Return the answers to `wanted.known`, and a no to all others, as facts.

    What nobody could answer refuses the request also where only the host's rules asked: some
    of them deny on a yes, and would let everything through.
    """
    found = dict(zip(wanted.known, answers, strict=True))
    return tuple(
        RelationFact(
            name=name,
            object=question[0],
            permission=question[1],
            subject=question[2],
            allowed=question in found and found[question].allowed,
            required=not name or (question in found and not found[question].known),
            path=found[question].path if question in found else (),
        )
        for name, question in zip(wanted.names, wanted.questions, strict=True)
    )
