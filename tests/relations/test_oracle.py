"""Our answers are SpiceDB's, on schemas, tuples and questions nobody thought of."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import grpc
import pytest
from hypothesis import HealthCheck, given, note, settings

from safeconduct.relations import (
    Graph,
    Question,
    Schema,
    SchemaError,
    Subjects,
    Tuple,
    Unanswerable,
    base_text,
    check,
    compile_schema,
    lookup_resources,
    lookup_subjects,
    walk,
)
from tests.relations.oracle import Oracle, is_there
from tests.relations.strategies import IDS, PERMISSIONS, TYPES, Case, cases

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not is_there(), reason="SpiceDB is not in tools/node/node_modules"),
]
_AT = 1_800_000_000.0  # between the two expirations there are
_CASES = int(os.environ.get("SAFECONDUCT_ORACLE_CASES", "80"))
_seen: Counter[str] = Counter()


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    oracle = Oracle()
    yield oracle
    oracle.close()


@pytest.mark.parametrize("many", [0, 16], ids=["from-the-other-end", "as-it-is"])
def test_schemas_tuples_and_questions_mean_what_they_mean_to_spicedb(
    many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once with every arrow followed backwards that can be, which takes large sets otherwise."""
    monkeypatch.setattr(walk, "_MANY", many)
    _seen.clear()

    _one_after_the_other()

    assert _seen["yes"] > 4 * _CASES
    assert _seen["no"] > 50 * _CASES
    assert _seen["resources"] > _CASES
    assert _seen["subjects"] > 2 * _CASES
    assert _seen["theirs is no listing of their checks"] < _CASES / 2


@given(case=cases())
@settings(max_examples=_CASES, derandomize=True, suppress_health_check=list(HealthCheck))
def _one_after_the_other(case: Case) -> None:
    note(case.schema)
    note("\n".join(map(str, case.edges + case.passing)))
    oracle = Oracle()
    try:
        _compare(case, oracle)
    finally:
        oracle.close()


def _compare(case: Case, oracle: Oracle) -> None:
    refusal = oracle.schema(case.schema)
    assert refusal is None
    schema = compile_schema(case.schema)
    for edge in case.edges + case.passing:
        schema.check(edge)
    refusal = oracle.write(case.edges + case.passing)
    assert refusal is None
    graph = Graph.of(case.edges)
    theirs = oracle.check(case.questions)
    for question, their in zip(case.questions, theirs, strict=True):
        try:
            verdict = check(schema, graph, question, at=_AT, contextual=case.passing)
        except Unanswerable:
            _seen["ours cannot be told, theirs " + str(their)] += 1
            continue
        if their is None:
            _seen["theirs cannot be told, ours " + str(verdict.allowed)] += 1
            continue
        assert verdict.allowed == their, (str(question), verdict)
        _seen["yes" if their else "no"] += 1
    _compare_resources(case, oracle, graph)
    _compare_subjects(case, oracle, graph)


def _compare_resources(case: Case, oracle: Oracle, graph: Graph) -> None:
    schema = compile_schema(case.schema)
    for number, kind in enumerate(TYPES):
        permission = PERMISSIONS[number]
        for subject in ("usr:one", "grp:one"):
            try:
                theirs = oracle.resources(kind, permission, subject)
            except grpc.RpcError as error:
                _seen[f"resources cannot be told: {error.details()}"] += 1
                continue
            ours = lookup_resources(
                schema, graph, kind, permission, subject, at=_AT, contextual=case.passing
            )
            asked = [
                Question(object=f"{kind}:{name}", permission=permission, subject=subject)
                for name in IDS
            ]
            if _all_told(schema, graph, case, asked):
                assert ours == theirs, (kind, permission, subject)
                _seen["resources"] += 1


def _compare_subjects(case: Case, oracle: Oracle, graph: Graph) -> None:
    schema = compile_schema(case.schema)
    for number, kind in enumerate(TYPES):
        permission = PERMISSIONS[number]
        for sort in ("usr", "grp#rel_a"):
            if "#" in sort and "grp:*" in case.schema:
                continue  # a wildcard holds for any of them in a check, and names none in a listing
            object_ = f"{kind}:one"
            try:
                theirs = oracle.subjects(object_, permission, sort)
            except grpc.RpcError:
                _seen["subjects cannot be told"] += 1
                continue
            ours = lookup_subjects(
                schema, graph, object_, permission, sort, at=_AT, contextual=case.passing
            )
            name, _, sub = sort.partition("#")
            universe = [f"{name}:{each}" + (f"#{sub}" if sub else "") for each in IDS]
            asked = [
                Question(object=object_, permission=permission, subject=each) for each in universe
            ]
            if not _all_told(schema, graph, case, asked):
                continue
            checked = oracle.check(asked)
            assert [_in(each, ours) for each in universe] == checked, (object_, permission, sort)
            if [_in(each, theirs) for each in universe] != checked:
                # SpiceDB's listing and its own checks differ, mostly about `self` and `.all()`.
                _seen["theirs is no listing of their checks"] += 1
                continue
            assert ours.everyone == theirs.everyone
            _seen["subjects"] += 1


def _in(subject: str, subjects: Subjects) -> bool:
    found = subject in subjects.found
    return found or (subjects.everyone and subject not in subjects.excepted)


def _all_told(schema: Schema, graph: Graph, case: Case, questions: list[Question]) -> bool:
    for question in questions:
        try:
            check(schema, graph, question, at=_AT, contextual=case.passing)
        except Unanswerable:
            return False
    return True


_REFUSED_BY_BOTH = {
    "no end of statement": "definition usr { relation aaa: usr }",
    "a type twice": "definition usr {}\ndefinition usr {}",
    "a relation twice": "definition usr {\nrelation aaa: usr\nrelation aaa: usr\n}",
    "a subject twice": "definition usr {\nrelation aaa: usr | usr\n}",
    "a short name": "definition us {}",
    "a name that begins with _": "definition usr {\nrelation _aaa: usr\n}",
    "an unknown type": "definition usr {\nrelation aaa: usrr\n}",
    "an unknown subject relation": "definition usr {\nrelation aaa: usr#bbb\n}",
    "an unknown name": "definition usr {\nrelation aaa: usr\npermission ppp = aab\n}",
    "an arrow from nowhere": "definition usr {\nrelation aaa: usr\npermission ppp = aab->aaa\n}",
    "an arrow from a permission": (
        "definition usr {\nrelation aaa: usr\npermission ppp = aaa\npermission qqq = ppp->aaa\n}"
    ),
    "an arrow from a wildcard": (
        "definition usr {\nrelation aaa: usr:*\npermission ppp = aaa->aaa\n}"
    ),
    "a wildcard passed on": (
        "definition usr {\nrelation aaa: usr:*\n}\ndefinition doc {\nrelation bbb: usr#aaa\n}"
    ),
    "two arrows": "definition usr {\nrelation aaa: usr\npermission ppp = aaa->aaa->aaa\n}",
    "an arrow from brackets": "definition usr {\nrelation aaa: usr\npermission ppp = (aaa)->aaa\n}",
    "a circle": "definition usr {\npermission ppp = qqq\npermission qqq = ppp\n}",
    "a line that begins with a sign": (
        "definition usr {\nrelation aaa: usr\npermission ppp = aaa\n + aaa\n}"
    ),
    "use behind a definition": "definition usr {}\nuse self",
    "an unknown use": "use wings\ndefinition usr {}",
    "expiration without use": "definition usr {\nrelation aaa: usr with expiration\n}",
    "a word as a name": "definition usr {\nrelation nil: usr\n}",
    "an unknown function": "definition usr {\nrelation aaa: usr\npermission ppp = aaa.some(aaa)\n}",
    "an open comment": "definition usr {} /* ",
    "a strange sign": "definition usr {\nrelation aaa: usr ? usr\n}",
    "two semicolons": ";;definition usr {}",
}


@pytest.mark.parametrize("text", _REFUSED_BY_BOTH.values(), ids=_REFUSED_BY_BOTH)
def test_what_spicedb_refuses_is_refused(text: str, oracle: Oracle) -> None:
    assert oracle.schema(text) is not None

    with pytest.raises(SchemaError):
        compile_schema(text)


_TAKEN_BY_BOTH = {
    "nothing": "",
    "semicolons": "definition usr {;relation aaa: usr;;\n\n}",
    "two on a line": "definition usr {} definition bbb {}",
    "a line that ends with a sign": (
        "definition usr {\nrelation aaa: usr |\n usr:*\npermission ppp = aaa +\n aaa\n}"
    ),
    "names that are words elsewhere": (
        "definition usr {\nrelation self: usr\nrelation any: usr\nrelation expiration: usr\n"
        "permission ppp = self + any.any(any)\n}"
    ),
    "comments": "/** a */\n// b\ndefinition usr { // c\n/* d\n*/ relation aaa: usr // e\n}",
    "prefixes": "definition acme/usr {}\ndefinition acme/sub/doc {\nrelation aaa: acme/usr\n}",
    "an arrow to nowhere": "definition usr {\nrelation aaa: usr\npermission ppp = aaa->zzz\n}",
    "an ellipsis": "definition usr {\nrelation aaa: usr#...;\n}",
    "a wildcard of its own type": "definition usr {\nrelation aaa: usr:*\nrelation bbb: usr#aaa\n}",
    "permissions in a circle of more than names": (
        "definition usr {\nrelation aaa: usr\npermission ppp = qqq + aaa\npermission qqq = ppp\n}"
    ),
    "expiring wildcards": (
        "use expiration\ndefinition usr {\nrelation aaa: usr:* with expiration\n}"
    ),
}


@pytest.mark.parametrize("text", _TAKEN_BY_BOTH.values(), ids=_TAKEN_BY_BOTH)
def test_what_spicedb_takes_is_taken(text: str, oracle: Oracle) -> None:
    assert oracle.schema(text) is None

    compile_schema(text)


def test_the_base_schema_is_one_to_spicedb(oracle: Oracle) -> None:
    assert oracle.schema(base_text()) is None


@pytest.mark.parametrize("steps", [10, 48, 49, 50, 51, 60])
def test_walks_end_as_deep_as_spicedbs(steps: int, oracle: Oracle) -> None:
    text = "definition usr {}\ndefinition grp {\nrelation mem: usr | grp#mem\n}"
    edges = [Tuple.parse(f"grp:{n}#mem@grp:{n + 1}#mem") for n in range(1, steps)]
    edges.append(Tuple.parse(f"grp:{steps}#mem@usr:deep"))
    assert oracle.schema(text) is None
    assert oracle.write(edges) is None
    question = Question(object="grp:1", permission="mem", subject="usr:deep")

    try:
        ours = check(compile_schema(text), Graph.of(edges), question, at=_AT).allowed
    except Unanswerable:
        ours = None

    assert oracle.check([question]) == [ours]


def test_circles_end_as_spicedbs(oracle: Oracle) -> None:
    text = "definition usr {}\ndefinition grp {\nrelation mem: usr | grp#mem\n}"
    edges = [
        Tuple.parse(each)
        for each in ("grp:a#mem@grp:b#mem", "grp:b#mem@grp:a#mem", "grp:b#mem@usr:in")
    ]
    assert oracle.schema(text) is None
    assert oracle.write(edges) is None
    schema, graph = compile_schema(text), Graph.of(edges)
    inside = Question(object="grp:a", permission="mem", subject="usr:in")
    outside = Question(object="grp:a", permission="mem", subject="usr:out")

    assert oracle.check([inside, outside]) == [True, None]
    assert check(schema, graph, inside, at=_AT).allowed
    with pytest.raises(Unanswerable, match="circle"):
        check(schema, graph, outside, at=_AT)
