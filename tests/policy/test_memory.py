"""A remembered answer is the one that the rules would give now, and failures are none."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.core.decision import Decision
from safeconduct.core.model import AccessRequest, Intent, Level
from safeconduct.policy import (
    Bundle,
    Embedded,
    EngineFailed,
    Environment,
    Facts,
    HostPolicy,
    Pdp,
    RelationFact,
    document,
)
from safeconduct.policy import memory as memories
from safeconduct.policy.memory import Memory
from safeconduct.policy.reading import EVERYTHING, Reads
from safeconduct.policy.vetting import extension

from .builders import a_request, at_once, decided, some_facts
from .strategies import JSON, facts, requests

SHIPPED = Bundle.shipped()
HEAD = "package safeconduct.host\n\nimport rego.v1\n\n"
ENVIRONMENTS = st.builds(
    Environment,
    time=st.sampled_from(["2026-11-21T12:00:00+00:00", "2026-11-22T12:00:00+00:00"]),
    ip=st.sampled_from(["10.1.2.3", "192.0.2.7"]),
    user_agent=st.sampled_from(["a", "", "x" * 200]),
    software=st.sampled_from(["x 1", ""]),
    revision=st.sampled_from(["2025-06-18", ""]),
)
_UTIL = """package safeconduct.host.util

import rego.v1

weekend if time.weekday(time.parse_rfc3339_ns(input.environment.time)) in {"Saturday", "Sunday"}

named contains input.arguments.n
"""
OWN = {
    "time": 'deny contains {"reason": "late"} if input.environment.time > "2026-11-22"',
    "ip": 'deny contains {"reason": "r"} if startswith(input.environment.ip, "10.")',
    "arguments": 'deny contains {"reason": "r"} if input.arguments.n == 1',
    "intent": 'deny contains {"reason": "r"} if not input.intent.purpose',
    "missing": 'deny contains {"reason": "r"} if not input.arguments.n',
    "bare": 'deny contains {"reason": "r"} if json.marshal(input) > "{\\"arguments\\":{\\"n\\":1"',
    "alias": (
        "import input.environment as e\n\n"
        'deny contains {"reason": "r"} if { e.software == ""; e.revision != "" }'
    ),
    "helper": 'deny contains {"reason": "r"} if data.safeconduct.host.util.weekend',
    "helper's set": 'deny contains {"reason": "r"} if count(data.safeconduct.host.util.named) > 0',
    "any member": (
        'deny contains {"reason": name} if { some name in ["environment", "x"]; '
        'input[name].user_agent == "" }'
    ),
    "obligation": (
        'obligations contains {"type": "notify", "about": input.environment.ip} '
        'if input.environment.ip != "192.0.2.7"'
    ),
    "dead": 'deny contains {"reason": "r"} if { false; input.arguments.n == 1 }',
}


def own(rule: str) -> Bundle:
    collected = {
        name: ("safeconduct.host",)
        for name in ("deny", "obligations")
        if f"{name} contains" in rule
    }
    modules = (
        ("extensions.rego", extension(collected)),
        ("host/util.rego", _UTIL),
        ("host/x.rego", HEAD + rule + "\n"),
    )
    return Bundle.of(modules=(*SHIPPED.modules, *modules), data={})


class Counted:
    """An engine in this process that counts what is really computed."""

    def __init__(self, bundle: Bundle) -> None:
        self.inner = Embedded(bundle)
        self.memory = self.inner.memory
        self.asked = 0

    async def evaluate(self, document: bytes) -> bytes:
        self.asked += 1
        return await self.inner.evaluate(document)


def pdp_of(bundle: Bundle) -> tuple[Pdp, Counted]:
    engine = Counted(bundle)
    policy = HostPolicy(engine=engine, bundle=bundle.digest)
    return Pdp(lambda _: policy), engine


def forgetful(bundle: Bundle) -> Pdp:
    """Decides anew each time."""
    engine = Embedded(bundle)
    engine.memory = Memory(None)
    return Pdp(lambda _: HostPolicy(engine=engine, bundle=bundle.digest))


def same(one: Decision, other: Decision) -> bool:
    return msgspec.structs.replace(one, id="") == msgspec.structs.replace(other, id="")


# Arguments of every kind, and some that no engine takes, which ends a decision too.
ARGUMENTS = st.dictionaries(
    st.sampled_from(["n", "id"]),
    JSON
    | st.integers(1, 2)
    | st.sampled_from([10**307, 10**309, [10**309] * 3, "9" * 400, [[]] * 99])
    | st.integers(60, 130).map(lambda deep: msgspec.json.decode(b"[" * deep + b"]" * deep))
    | st.tuples(st.text(max_size=300), st.sampled_from([1, 10**308, 10**309])).map(list),
    max_size=2,
)


@st.composite
def questions(draw: st.DrawFn) -> list[tuple[AccessRequest, Facts]]:
    """Some that are alike but for arguments and environment, in any order, and again."""
    asked = draw(st.lists(st.tuples(requests(), facts()), min_size=1, max_size=2))
    asked += [(a_request(), some_facts())]
    return [
        (
            msgspec.structs.replace(request, arguments=draw(st.none() | ARGUMENTS)),
            msgspec.structs.replace(known, environment=draw(ENVIRONMENTS)),
        )
        for request, known in asked * 4
    ]


@pytest.mark.requirement("Z-37")
@pytest.mark.parametrize(
    "rule",
    [
        pytest.param("", id="shipped"),
        *(pytest.param(rule, id=name, marks=pytest.mark.slow) for name, rule in OWN.items()),
    ],
)
def test_the_answer_is_always_the_one_of_an_engine_that_remembers_nothing(rule: str) -> None:
    bundle = own(rule) if rule else SHIPPED
    pdp, engine = pdp_of(bundle)
    anew = forgetful(bundle)
    count = 0

    @given(questions())
    def compare(asked: list[tuple[AccessRequest, Facts]]) -> None:
        nonlocal count
        for request, known in asked:
            count += 1
            assert same(decided(pdp, request, known), decided(anew, request, known))

    compare()

    assert engine.asked < count  # or nothing was remembered, and nothing shown


RELATION = RelationFact(
    name="",
    object="ticket:T-7",
    permission="edit",
    subject="person:bob",
    allowed=True,
    required=True,
)


def changed(part: str, **members: Any) -> Facts:
    right = some_facts()
    return msgspec.structs.replace(
        right, **{part: msgspec.structs.replace(getattr(right, part), **members)}
    )


@pytest.mark.requirement("Z-02", "Z-37")
@pytest.mark.parametrize(
    ("reason", "now"),
    [
        ("session.ended", changed("session", live=False)),
        ("session.ended", some_facts(session=None)),
        ("binding.mismatch", changed("session", id="ses-2")),
        ("consent.none", some_facts(consent=None)),
        ("consent.expired", changed("consent", live=False)),
        ("consent.level", changed("consent", level=Level.LOW)),
        ("ceiling.exceeded", some_facts(ceiling=Level.MEDIUM)),
        ("ceiling.none", some_facts(ceiling=None)),
        ("tool.changed", changed("tool", state="changed")),
        ("tool.disabled", changed("tool", enabled=False)),
        ("tool.unknown", changed("tool", known=False)),
        ("client.blocked", changed("client", active=False)),
        ("subject.inactive", changed("subject", active=False)),
        (
            "relation.denied",
            some_facts(relations=(msgspec.structs.replace(RELATION, allowed=False),)),
        ),
    ],
)
def test_what_was_allowed_and_remembered_is_refused_once_one_fact_is_another(
    reason: str, now: Facts
) -> None:
    pdp, engine = pdp_of(SHIPPED)
    right = some_facts(relations=(RELATION,)) if now.relations else some_facts()
    for _ in range(2):
        assert decided(pdp, a_request(), right).allow
    assert engine.asked == 1

    for _ in range(2):
        refused = decided(pdp, a_request(), now)
        assert (refused.allow, refused.reason) == (False, reason)
    assert engine.asked == 2
    assert decided(pdp, a_request(), right).allow
    assert engine.asked == 2


@pytest.mark.parametrize(
    "now",
    [
        changed("subject", email="b@x.test"),
        changed("subject", groups=()),
        changed("subject", attributes={"region": "US"}),
        changed("client", name="Other"),
        changed("client", kind="dynamic"),
        changed("consent", id="con-2"),
        changed("consent", granted_at="2026-11-21T12:00:00Z"),
        changed("consent", expires_at="2026-12-21T12:00:00Z"),
        changed("tool", level=Level.LOW),
    ],
)
def test_any_other_fact_is_another_question(now: Facts) -> None:
    pdp, engine = pdp_of(SHIPPED)
    decided(pdp, a_request(), some_facts())

    decided(pdp, a_request(), now)

    assert engine.asked == 2


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "stream"},
        {"intent": Intent(purpose="refund")},
        {"action": "tools/list"},
        {"resource": msgspec.structs.replace(a_request().resource, name="get_issue")},
        {"resource": msgspec.structs.replace(a_request().resource, kind="prompt")},
        {"caller": msgspec.structs.replace(a_request().caller, session="ses-2")},
        {"caller": msgspec.structs.replace(a_request().caller, client="other")},
    ],
)
def test_another_request_is_another_question(change: dict[str, Any]) -> None:
    pdp, engine = pdp_of(SHIPPED)
    decided(pdp, a_request(), some_facts())

    decided(pdp, a_request(**change), some_facts())

    assert engine.asked == 2


@pytest.mark.requirement("Z-23")
def test_a_remembered_decision_names_itself_and_carries_what_was_true_at_its_time() -> None:
    pdp, engine = pdp_of(SHIPPED)
    first = decided(pdp, a_request(), some_facts())
    later = changed("environment", time="2026-11-21T13:00:00Z", ip="10.9.9.9", user_agent="other")
    request = a_request(arguments={"id": "T-8"})

    second = decided(pdp, request, later)

    assert engine.asked == 1
    assert first.id != second.id
    assert (second.basis, second.arguments) == (document(request, later).basis, b'{"id":"T-8"}')
    assert msgspec.json.decode(second.basis)["environment"]["ip"] == "10.9.9.9"
    assert second.bundle == SHIPPED.digest


class Failing(Counted):
    """Fails, or contradicts itself, as long as it is told to."""

    bad: bytes | None = b""

    async def evaluate(self, document: bytes) -> bytes:
        answer = await super().evaluate(document)
        if self.bad == b"":
            raise EngineFailed("no answer")
        return answer if self.bad is None else self.bad


CONTRADICTION = (
    b'{"allow":true,"reason":"allowed","message":"","required_level":"high",'
    b'"effective_level":"low","step_up":false,"obligations":[],"rules":[]}'
)


@pytest.mark.requirement("Z-37")
@pytest.mark.parametrize("bad", [b"", b"{}", b"no json", CONTRADICTION])
def test_what_failed_is_tried_again(bad: bytes) -> None:
    engine = Failing(SHIPPED)
    engine.bad = bad
    pdp = Pdp(lambda _: HostPolicy(engine=engine, bundle="b"))
    for _ in range(2):
        assert decided(pdp, a_request(), some_facts()).reason == "engine.failed"
    assert (engine.asked, len(engine.memory.held)) == (2, 0)

    engine.bad = None

    assert decided(pdp, a_request(), some_facts()).allow


def test_arguments_that_are_not_json_are_refused_though_nobody_reads_them() -> None:
    pdp, _ = pdp_of(SHIPPED)
    assert decided(pdp, a_request(), some_facts()).allow

    assert decided(pdp, a_request(arguments={"x": object()}), some_facts()).allow is False
    assert decided(pdp, a_request(arguments={"x": "\ud800"}), some_facts()).allow is False


@pytest.mark.requirement("Z-37")
@pytest.mark.parametrize(
    ("hostile", "near"),
    [
        ({"n": 10**309}, {"n": 10**308}),
        ({"s": "x" * 31, "n": -(10**309), "t": "y" * 400}, {"s": "x" * 700}),
        ({"n": msgspec.json.decode(b"[" * 126 + b"]" * 126)}, {"n": [[]] * 60}),
        ({"n": msgspec.json.decode(b'{"a":' * 126 + b"1" + b"}" * 126)}, {"n": [{}] * 60}),
    ],
)
def test_arguments_no_engine_takes_are_refused_though_nobody_reads_them(
    hostile: dict[str, Any], near: dict[str, Any]
) -> None:
    pdp, engine = pdp_of(SHIPPED)
    assert decided(pdp, a_request(), some_facts()).allow

    assert decided(pdp, a_request(arguments=hostile), some_facts()).reason == "engine.failed"
    assert engine.asked == 2
    assert decided(pdp, a_request(arguments=near), some_facts()).allow


@given(st.integers(0, 200), st.integers(309, 400), st.integers(0, 200))
def test_a_long_number_never_hides_between_the_samples(
    before: int, digits: int, after: int
) -> None:
    arguments = b'{"a":"%b","n":%b,"b":"%b"}' % (b"x" * before, b"1" * digits, b"y" * after)
    key = Memory(Reads((), arguments=False)).key(document_of(arguments), some_facts().environment)

    assert key == b""


def document_of(arguments: bytes) -> Any:
    return msgspec.structs.replace(document(a_request(), some_facts()), arguments=arguments)


def test_a_memory_holds_so_many_and_forgets_the_oldest() -> None:
    pdp, engine = pdp_of(SHIPPED)

    def ask(number: int) -> None:
        decided(pdp, a_request(), changed("subject", email=f"{number}@x.test"))

    for number in range(memories.MOST + 1):
        ask(number)
    assert len(engine.memory.held) == memories.MOST
    ask(1)
    assert engine.asked == memories.MOST + 1
    ask(0)
    assert engine.asked == memories.MOST + 2


def test_what_would_take_much_room_is_not_remembered() -> None:
    pdp, engine = pdp_of(SHIPPED)
    room = memories.LONGEST - len(document(a_request(), some_facts()).settled)
    fits = changed("subject", attributes={"region": "EU" + "x" * room})
    more = changed("subject", attributes={"region": "EU" + "x" * (room + 1)})

    for known in (fits, more, more):
        assert decided(pdp, a_request(), known).allow

    assert [len(key) for key in engine.memory.held] == [memories.LONGEST]
    assert engine.asked == 3


def test_an_engine_of_other_rules_starts_with_nothing() -> None:
    policies = {"acme": HostPolicy(engine=Embedded(SHIPPED), bundle=SHIPPED.digest)}
    pdp = Pdp(policies.__getitem__)
    assert decided(pdp, a_request(), some_facts()).allow

    stricter = own('deny contains {"reason": "no"} if true')
    policies["acme"] = HostPolicy(engine=Embedded(stricter), bundle=stricter.digest)

    assert decided(pdp, a_request(), some_facts()).reason == "policy.no"


def test_of_everything_every_part_counts() -> None:
    memory, right = Memory(EVERYTHING), some_facts().environment
    given = document(a_request(), some_facts())
    whole = memory.key(given, right)

    others = [
        memory.key(given, msgspec.structs.replace(right, **{name: "other"}))
        for name in Environment.__struct_fields__
    ]
    others.append(memory.key(document_of(b"{}"), right))

    assert whole not in others
    assert len({*others, whole}) == len(others) + 1


class Beside:
    """Rules of a shadow that are told of every call."""

    bundle = "other"
    questions = ()

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def beside(self, _r: AccessRequest, decision: Decision, document: bytes, _t: object) -> None:
        self.heard.append(document)


def test_a_shadow_hears_of_each_call_also_of_those_that_were_remembered() -> None:
    shadow = Beside()
    policy = HostPolicy(engine=Embedded(SHIPPED), bundle="b", shadow=shadow)
    pdp = Pdp(lambda _: policy, told=lambda *_: None)

    for number in range(3):
        decided(pdp, a_request(arguments={"n": number}), some_facts())

    assert shadow.heard == [
        document(a_request(arguments={"n": number}), some_facts()).document for number in range(3)
    ]


def items_of(*names: str, **changes: Any) -> Any:
    return tuple((name, changed("tool", **changes).tool) for name in names)


def listed(pdp: Pdp, known: Facts, items: Any) -> tuple[bool, ...]:
    resource = msgspec.structs.replace(a_request().resource, name="")
    request = a_request(resource=resource, arguments=None, phase="list")
    return at_once(pdp.allows_each(request, known, items))


@pytest.mark.requirement("Z-27", "Z-37")
def test_a_list_is_decided_once_for_as_long_as_nothing_it_depends_on_changes() -> None:
    bundle = own('deny contains {"reason": "r"} if input.resource.name == "secret"')
    pdp, engine = pdp_of(bundle)
    items = (*items_of("a", "secret"), *items_of("off", enabled=False))

    for _ in range(3):
        assert listed(pdp, some_facts(), items) == (True, False, False)
    assert engine.asked == 3

    assert listed(pdp, changed("session", live=False), items) == (False, False, False)
    assert listed(pdp, some_facts(), items[:2]) == (True, False)
    assert listed(pdp, some_facts(), (*items[1:], items[0])) == (False, False, True)
    assert listed(pdp, some_facts(), items_of("a", state="changed")) == (False,)


@pytest.mark.slow
@given(st.lists(facts(), min_size=1, max_size=3), st.lists(st.sampled_from("abc"), max_size=4))
def test_a_list_says_of_each_item_what_is_decided_of_it_alone(
    known: list[Facts], names: list[str]
) -> None:
    pdp, _ = pdp_of(SHIPPED)
    for each in known * 2:
        items = tuple((name, each.tool) for name in names)
        alone = [
            decided(
                forgetful(SHIPPED),
                a_request(
                    resource=msgspec.structs.replace(a_request().resource, name=name),
                    arguments=None,
                    phase="list",
                ),
                each,
            ).allow
            for name in names
        ]
        assert list(listed(pdp, each, items)) == alone


def test_a_memory_holds_so_many_lists_and_none_that_is_endless() -> None:
    pdp, engine = pdp_of(SHIPPED)
    for number in range(memories.MOST_LISTS + 1):
        listed(pdp, some_facts(), items_of(f"a{number}"))
    assert len(engine.memory.lists) == memories.MOST_LISTS

    before = set(engine.memory.lists)
    engine.memory.keep_list(b"k", items_of("a") * (memories.MOST_ITEMS + 1), ())
    assert set(engine.memory.lists) == before


def test_large_arguments_that_no_rule_reads_are_not_given_to_the_engine() -> None:
    given: list[bytes] = []

    class Watched(Counted):
        async def evaluate(self, document: bytes) -> bytes:
            given.append(document)
            return await super().evaluate(document)

    engine = Watched(SHIPPED)
    pdp = Pdp(lambda _: HostPolicy(engine=engine, bundle="b"))
    request = a_request(arguments={"text": "x" * 100_000, "rows": [[1]] * 1000})

    decision = decided(pdp, request, some_facts())

    assert decision.allow
    assert len(given[0]) < 5000
    assert len(decision.arguments) > 100_000


def test_arguments_that_a_rule_reads_are_given_to_the_engine() -> None:
    pdp, _ = pdp_of(own('deny contains {"reason": "r"} if count(input.arguments.rows) > 999'))
    request = a_request(arguments={"rows": [[1]] * 1000})

    assert not decided(pdp, request, some_facts()).allow
