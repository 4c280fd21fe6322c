"""Asks and answers: one question, many, and the two that look for what would be answered yes."""

from __future__ import annotations

from collections.abc import Iterable

from safeconduct.relations.errors import QuestionRefused, Unanswerable, nearest
from safeconduct.relations.graph import Graph
from safeconduct.relations.questions import Question, Verdict
from safeconduct.relations.schema import Schema
from safeconduct.relations.tuples import Tuple
from safeconduct.relations.walk import DEPTH, Answer, Walk, told

WORK = 10_000  # nodes one question may look at; some tens of milliseconds


def check(
    schema: Schema,
    graph: Graph,
    question: Question,
    *,
    at: float,
    contextual: Iterable[Tuple] = (),
    work: int = WORK,
) -> Verdict:
    """Answer one question.

    Args:
        schema: The host's.
        graph: The host's edges.
        question: Who wants what.
        at: Unix seconds; edges that have expired by then are none.
        contextual: Edges that exist for this question only.
        work: How many nodes may be looked at.

    Raises:
        QuestionRefused: If it names what there is not.
        Unanswerable: If edges go in a circle, too deep, or lead to too much. It is a no.
    """
    refuse_unknown(schema, question)
    walk = Walk(schema, graph, passing(contextual), question.subject, at=at)
    return verdict(question, walk.answer(question.object, question.permission, work=work))


def check_many(
    schema: Schema,
    graph: Graph,
    questions: Iterable[Question],
    *,
    at: float,
    contextual: Iterable[Tuple] = (),
    work: int = WORK,
) -> list[Verdict]:
    """Answer questions in their order; what one refuses or cannot answer is a no to that one."""
    extra = passing(contextual)
    walks: dict[str, Walk] = {}
    found: list[Verdict] = []
    for question in questions:
        try:
            refuse_unknown(schema, question)
            walk = walks.get(question.subject)
            if walk is None:
                walk = Walk(schema, graph, extra, question.subject, at=at)
                walks[question.subject] = walk
            answer = walk.answer(question.object, question.permission, work=work)
            found.append(verdict(question, answer))
        except (QuestionRefused, Unanswerable) as error:
            found.append(Verdict(allowed=False, reason=error.public))
    return found


def passing(edges: Iterable[Tuple]) -> Graph | None:
    """Make a graph of contextual edges, if there are any."""
    graph = Graph.of(edges)
    return graph if len(graph) else None


def verdict(question: Question, answer: Answer) -> Verdict:
    """Put an answer into words.

    Raises:
        Unanswerable: If there is none.
    """
    if answer:
        path = told(answer)
        return Verdict(allowed=True, reason=f"{question} follows from {path[-1]}", path=path)
    if answer is None:
        raise Unanswerable(
            f"{question} cannot be answered: relations go in a circle or more than {DEPTH} steps "
            "deep"
        )
    return Verdict(allowed=False, reason=f"no relation makes it so that {question}")


def refuse_unknown(schema: Schema, question: Question) -> None:
    """Refuse a question about something the schema does not have.

    A type that is not defined may have any relation.

    Raises:
        QuestionRefused: With the nearest name there is.
    """
    known(schema, question.object.partition(":")[0], question.permission)
    if question.object.endswith(":*"):
        raise QuestionRefused("ask about one object; a wildcard is none")
    kind, _, rest = question.subject.partition(":")
    name, _, relation = rest.partition("#")
    if name == "*":
        raise QuestionRefused("ask for one subject; a wildcard is none")
    if relation:
        known(schema, kind, relation)


def known(schema: Schema, kind: str, name: str) -> None:
    """Refuse a permission or relation that a defined type does not have.

    Raises:
        QuestionRefused: With the nearest name there is.
    """
    definition = schema.definitions.get(kind)
    if definition is not None and name not in definition.members:
        hint = nearest(name, list(definition.members))
        raise QuestionRefused(f"{kind} has no relation or permission {name}{hint}")
