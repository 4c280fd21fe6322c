"""Random schemas, tuples and questions, shaped so that most of them mean something."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from hypothesis import strategies as st

from safeconduct.relations import Question, Tuple

IDS = ("one", "two", "three")
TYPES = ("grp", "fld", "doc")
RELATIONS = ("rel_a", "rel_b", "rel_c")
PERMISSIONS = ("per_a", "per_b", "per_c")
OPEN = "open_w"  # the one relation that takes wildcards; nothing may refer to it from afar
PAST = datetime(2020, 1, 1, tzinfo=UTC)
FUTURE = datetime(2100, 1, 1, tzinfo=UTC)


@dataclass
class Case:
    """A schema as text, with tuples it has room for and questions it understands."""

    schema: str
    edges: list[Tuple] = field(default_factory=list)
    passing: list[Tuple] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list, repr=False)


@st.composite
def expressions(
    draw: st.DrawFn,
    earlier: tuple[str, ...],
    selves: bool,
    depth: int = 2,
) -> str:
    """An expression over relations, arrows and the permissions written before it."""
    if depth and draw(st.integers(0, 9)) < 5:
        sign = draw(st.sampled_from([" + ", " + ", " & ", " - "]))
        parts = draw(st.lists(expressions(earlier, selves, depth - 1), min_size=2, max_size=3))
        text = sign.join(parts)
        return f"({text})" if draw(st.booleans()) else text
    kind = draw(st.integers(0, 15))
    if kind == 0:
        return draw(st.sampled_from(["nil", "self"] if selves else ["nil"]))
    if kind <= 4:
        left = draw(st.sampled_from(RELATIONS))
        right = draw(st.sampled_from((*RELATIONS, *PERMISSIONS)))
        how = draw(st.sampled_from(["{}->{}", "{}.any({})", "{}.all({})"]))
        return how.format(left, right)
    names = (*RELATIONS, OPEN) if kind <= 11 or not earlier else earlier
    return draw(st.sampled_from(names))


@st.composite
def subject_types(draw: st.DrawFn) -> list[str]:
    """What a relation takes."""
    plain = ["usr", "usr", *TYPES]
    usersets = [f"{kind}#{name}" for kind in TYPES for name in (*RELATIONS, *PERMISSIONS)]
    chosen = draw(
        st.lists(
            st.one_of(st.sampled_from(plain), st.sampled_from(usersets)), min_size=1, max_size=3
        )
    )
    found = list(dict.fromkeys(["usr", *chosen] if draw(st.booleans()) else chosen))
    if draw(st.integers(0, 5)) == 0:
        found.append(f"{found[0]} with expiration")
    return found


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A whole case."""
    text = ["use expiration", "use self", "definition usr {}"]
    takes: dict[tuple[str, str], list[str]] = {}
    selves = draw(st.integers(0, 3)) == 0
    for kind in TYPES:
        text.append(f"definition {kind} {{")
        for relation in RELATIONS:
            takes[kind, relation] = draw(subject_types())
            text.append(f"relation {relation}: {' | '.join(takes[kind, relation])}")
        takes[kind, OPEN] = draw(
            st.sampled_from([["usr:*"], ["usr", "usr:*"], ["usr", "grp:*", "grp"]])
        )
        text.append(f"relation {OPEN}: {' | '.join(takes[kind, OPEN])}")
        text += [
            f"permission {permission} = {draw(expressions(PERMISSIONS[:number], selves))}"
            for number, permission in enumerate(PERMISSIONS)
        ]
        text.append("}")
    edges = draw(_edges(takes))
    cut = draw(st.integers(0, 3))
    case = Case("\n".join(text), edges=edges[cut:], passing=edges[:cut])
    case.questions = draw(_questions())
    return case


@st.composite
def _edges(draw: st.DrawFn, takes: dict[tuple[str, str], list[str]]) -> list[Tuple]:
    found: dict[tuple[str, str, str], Tuple] = {}
    for _ in range(draw(st.integers(8, 60))):
        kind, relation = draw(st.sampled_from(sorted(takes)))
        taken, _, expiring = draw(st.sampled_from(takes[kind, relation])).partition(" with ")
        name, _, sub = taken.partition("#")
        if name.endswith(":*"):
            subject = name
            object_ = f"{kind}:{draw(st.sampled_from(IDS))}"
        else:
            object_, thing = draw(_pairs(kind, name))
            subject = f"{thing}#{sub}" if sub else thing
        if not object_:
            continue
        edge = Tuple(
            object=object_,
            relation=relation,
            subject=subject,
            expires_at=draw(st.sampled_from([PAST, FUTURE])) if expiring else None,
        )
        found.setdefault(edge.key, edge)
    return list(found.values())


@st.composite
def _pairs(draw: st.DrawFn, kind: str, subject: str) -> tuple[str, str]:
    """Two things of these types, the second further on than the first, so that no circle closes.

    SpiceDB answers circles by walking all ways around them, fifty steps deep.
    """
    if subject == "usr":
        return f"{kind}:{draw(st.sampled_from(IDS))}", f"usr:{draw(st.sampled_from(IDS))}"
    order = [f"{each}:{name}" for name in IDS for each in ("doc", "fld", "grp")]
    pairs = [
        (left, right)
        for at, left in enumerate(order)
        for right in order[at + 1 :]
        if left.startswith(f"{kind}:") and right.startswith(f"{subject}:")
    ]
    return draw(st.sampled_from(pairs)) if pairs else ("", "")


@st.composite
def _questions(draw: st.DrawFn) -> list[Question]:
    strangers = ["usr:nobody"]
    usersets = draw(
        st.lists(
            st.builds(
                "{}:{}#{}".format,
                st.sampled_from(TYPES),
                st.sampled_from(IDS),
                st.sampled_from((*RELATIONS, *PERMISSIONS)),
            ),
            max_size=2,
        )
    )
    things = [f"usr:{name}" for name in IDS[:2]] + ["grp:one"]
    return [
        Question(object=f"{kind}:{name}", permission=permission, subject=subject)
        for kind in TYPES
        for name in IDS[:2]
        for permission in (*PERMISSIONS, RELATIONS[0])
        for subject in dict.fromkeys((*things, *strangers, *usersets))
    ]
