"""What is asked, read strictly: AuthZEN 1.0, information model, evaluations and search.

Members nobody knows are ignored, as the specification demands of receivers; what is known and
has another type than it must have is refused, and so is a required member that is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

from safeconduct.api.refusals import bad
from safeconduct.core.canonical import StrictJSONError, fingerprint, parse
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import Intent, Value

JSON = dict[str, Any]
Semantic = Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"]
Sought = Literal["subject", "resource", "action"]

MOST_EVALUATIONS = 100
MOST_RESULTS = 100
_LONGEST = 2048
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MEMBERS = ("subject", "action", "resource", "context")
_SEMANTICS: tuple[Semantic, ...] = get_args(Semantic)


class Entity(Value, frozen=True):
    """A subject or a resource; for an action, `type` is "" and `id` its name."""

    type: str
    id: str
    properties: JSON = {}


class Question(Value, frozen=True):
    """Whether this subject may do this on this resource."""

    subject: Entity
    action: str
    resource: Entity
    context: JSON = {}


class Batch(Value, frozen=True):
    """Several questions, and when to stop answering; `single` was asked without a list."""

    questions: tuple[Question, ...]
    semantic: Semantic = "execute_all"
    single: bool = False


class Search(Value, frozen=True):
    """A question with one part left open, and which part of the answer is wanted.

    Attributes:
        question: What is sought has an id of "".
        sought: The part left open.
        token: Where the page before ended, as we said it.
        limit: How many results a page may have.
        digest: Tells this search from every other one, whatever its page.
    """

    question: Question
    sought: Sought
    token: str
    limit: int
    digest: str


def read_body(raw: bytes) -> JSON:
    """Read the one object a request consists of.

    Raises:
        Refused: PARSE_ERROR, if it is none or readers could differ about it.
    """
    try:
        value = parse(raw)
    except StrictJSONError as error:
        raise Refused(Code.PARSE_ERROR, f"The body cannot be read: {error}.") from error
    if not isinstance(value, dict):
        raise bad("The body is not a JSON object.")
    return value


def read_question(body: JSON, *, sought: Sought | None = None) -> Question:
    """Read one question.

    Raises:
        Refused: If a required member is missing or has another type.
    """
    return Question(
        subject=_entity(body, "subject", sought=sought == "subject"),
        action="" if sought == "action" else _action(body),
        resource=_entity(body, "resource", sought=sought == "resource"),
        context=_object(body, "context"),
    )


def read_batch(body: JSON) -> Batch:
    """Read an evaluations request; without a list, or with an empty one, it is a single one."""
    items = body.get("evaluations", [])
    if not isinstance(items, list):
        raise bad("evaluations must be a list.")
    if len(items) > MOST_EVALUATIONS:
        raise bad(f"evaluations: at most {MOST_EVALUATIONS} can be asked at once.")
    semantic = _semantic(body)
    if not items:
        return Batch(questions=(read_question(body),), single=True)
    defaults = {name: body[name] for name in _MEMBERS if name in body}
    return Batch(questions=tuple(_item(defaults, each) for each in items), semantic=semantic)


def read_search(body: JSON, sought: Sought) -> Search:
    """Read a search request; the id of what is sought is ignored, as the specification says."""
    question = read_question(body, sought=sought)
    page = _object(body, "page")
    token, limit = page.get("token", ""), page.get("limit", MOST_RESULTS)
    if not isinstance(token, str):
        raise bad("page.token must be a text.")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise bad("page.limit must be a whole number, 0 or more.")
    same = [sought, question.subject, question.action, question.resource, question.context]
    return Search(
        question=question,
        sought=sought,
        token=token,
        limit=min(limit, MOST_RESULTS),
        digest=fingerprint([*map(_plain, same), limit, _object(page, "properties")]),
    )


def named(source: Mapping[str, Any], name: str) -> str:
    """Return an optional text of a context or of properties, or "" where it is left out."""
    value = source.get(name, "")
    if not isinstance(value, str) or len(value) > _LONGEST or _UNSEEN.search(value):
        raise bad(f"{name} must be a text without control characters.")
    return value


def intent_in(context: JSON) -> Intent | None:
    """Return what the agent declared to the enforcement point, or None.

    Raises:
        Refused: If `intent` is anything but an object of the texts of one.
    """
    try:
        return Intent.parse(context["intent"]) if "intent" in context else None
    except ValueError as error:
        raise bad(
            "context.intent must be an object of the printable texts purpose and workflow."
        ) from error


def _item(defaults: JSON, item: Any) -> Question:
    if not isinstance(item, dict):
        raise bad("evaluations must be a list of objects.")
    # A member of an item takes the place of the default as a whole; nothing is merged.
    return read_question(defaults | item)


def _semantic(body: JSON) -> Semantic:
    said = _object(body, "options").get("evaluations_semantic", "execute_all")
    for semantic in _SEMANTICS:
        if said == semantic:
            return semantic
    raise bad(f"options.evaluations_semantic must be one of {', '.join(_SEMANTICS)}.")


def _entity(body: JSON, name: str, *, sought: bool) -> Entity:
    given = _required(body, name)
    return Entity(
        type=_text(given, "type", of=name),
        id="" if sought else _text(given, "id", of=name),
        properties=_object(given, "properties"),
    )


def _action(body: JSON) -> str:
    given = _required(body, "action")
    _object(given, "properties")
    return _text(given, "name", of="action")


def _required(body: JSON, name: str) -> JSON:
    if name not in body:
        raise bad(f"{name} is missing.")
    return _object(body, name)


def _object(body: JSON, name: str) -> JSON:
    value = body.get(name, {})
    if not isinstance(value, dict):
        raise bad(f"{name} must be an object.")
    return value


def _text(given: JSON, name: str, *, of: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise bad(f"{of}.{name} is missing or no text.")
    if len(value) > _LONGEST or _UNSEEN.search(value):
        raise bad(f"{of}.{name} is too long or holds control characters.")
    return value


def _plain(value: str | Entity | JSON) -> object:
    return [value.type, value.id, value.properties] if isinstance(value, Entity) else value
