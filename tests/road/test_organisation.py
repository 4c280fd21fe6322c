"""A whole organisation: what each person's agent is shown is what it may call, tool by tool."""

from __future__ import annotations

import random
import time
from datetime import timedelta
from pathlib import Path

import pytest

from safeconduct import consent, hosts, people, relations, upstreams
from safeconduct.app import Installation, judges_of, open_installation
from safeconduct.app.rules import read_rules
from safeconduct.consent import Consent
from safeconduct.core.model import (
    Caller,
    ClientId,
    ConsentId,
    HostId,
    Level,
    ServerKey,
    SessionId,
    SubjectId,
)
from safeconduct.hosts import Host, Policies
from safeconduct.people import Person
from safeconduct.policy import ClientFacts, keep
from safeconduct.proxy import Call, read_head
from safeconduct.proxy.eras import Headers, revision_of
from safeconduct.proxy.exchange import Exchange
from safeconduct.proxy.messages import METHODS, read
from safeconduct.sessions import Session
from safeconduct.settings import parse
from safeconduct.upstreams import Override, Server, Wanted
from tests.road.upstream import tool
from tests.road.world import body_of, headers_of

ACME = HostId("acme")
PEOPLE, SERVERS, TOOLS = 500, 100, 50
AGENTS = ("editor", "ci-bot", "scanner", "stranger")
GROUPS = ("engineering", "analytics", "contractors")
VERBS = ("get", "list", "create", "update", "delete", "purge", "frob", "send")
RULES = """package safeconduct.host

import rego.v1

deny contains {"reason": "no_sending"} if {
\tstartswith(input.resource.name, "send")
\tnot "engineering" in input.subject.groups
}
"""
DATA = """
agents:
  trust_tiers: {developer: [editor], ci: [ci-bot], reader: [scanner]}
  tier_levels:
    developer: {ALL: high}
    ci: {ALL: medium}
    reader: {ALL: low}
roles:
  definitions:
    creator: {servers: {ALL: medium}, tools: {ALL: ["get_*", "create_*"]}}
  groups: {contractors: [creator]}
denylists: {subjects: ["person7@acme.test"]}
"""


def _data() -> str:
    """Spell every server where the data says all of them; the last one is left out."""
    keys = [f"server-{number}" for number in range(SERVERS - 1)]
    lines = []
    for line in DATA.splitlines():
        for level in ("high", "medium", "low", '["get_*", "create_*"]'):
            all_of_them = ", ".join(f"{key}: {level}" for key in keys)
            line = line.replace(f"{{ALL: {level}}}", f"{{{all_of_them}}}")  # noqa: PLW2901
        lines.append(line)
    return "\n".join(lines)


class Organisation:
    """A host with everything in it, made by chance and the same each time."""

    def __init__(self, parts: Installation, rules: Path) -> None:
        self.parts = parts
        self.chance = random.Random(1)
        self.rules = read_rules(rules).rules
        self.decider = judges_of(parts).decider

    async def fill(self) -> Host:
        policies = Policies(policy_bundle=self.rules.digest)
        host = Host(key=ACME, name="Acme", origin="https://acme.test", policies=policies)
        now = self.parts.clock.now()
        async with self.parts.database.write() as tx:
            signer = self.parts.shelf.signer
            about = {"source": "a test", "version": None, "at": now}
            await keep(tx, ACME, self.rules, signer=signer, **about)
            await hosts.save(tx, host)
            for number in range(SERVERS):
                about = self._server(number)
                await upstreams.save(tx, ACME, about)
                names = [f"{self.chance.choice(VERBS)}_thing_{n}" for n in range(TOOLS)]
                listed = [tool(name) for name in names]
                await upstreams.observe(
                    tx, ACME, about, eras=("modern",), spellings=[listed], at=now
                )
                for group in GROUPS:
                    if self.chance.random() < 0.6:
                        edge = relations.ceiling_tuple(
                            about.key, self.chance.choice(list(Level)), relations.members(group)
                        )
                        await relations.write(tx, ACME, edge, source="access", at=now)
        await self.parts.hosts.refresh()
        return host

    def _server(self, number: int) -> Wanted:
        overrides = {
            f"{verb}_thing_{n}": Override(
                level=self.chance.choice([None, *Level]), enabled=self.chance.random() < 0.7
            )
            for verb in VERBS
            for n in range(0, TOOLS, 9)
        }
        key = ServerKey(f"server-{number}")
        return Wanted(key=key, name=key, url="http://127.0.0.1:1/mcp", overrides=overrides)

    async def person(self, number: int) -> tuple[Person, Session, Server]:
        """Make one more person, who let some agent use some server in some way."""
        now, server = self.parts.clock.now(), ServerKey(f"server-{number % SERVERS}")
        client, level = ClientId(AGENTS[number % 4]), self.chance.choice(list(Level))
        async with self.parts.database.write() as tx:
            who = await people.create(
                tx,
                ACME,
                email=f"person{number}@acme.test",
                name="P",
                at=now,
                groups=tuple(self.chance.sample(GROUPS, self.chance.randrange(3))),
            )
            if self.chance.random() < 0.3:
                own = relations.ceiling_tuple(
                    server, self.chance.choice(list(Level)), relations.person(who.id)
                )
                await relations.write(tx, ACME, own, source="access", at=now)
            await consent.grant(tx, _consent(who.id, client, server, level, now))
        found = await self.parts.catalogue.get(ACME, server)
        assert found is not None
        session = Session(
            host=ACME,
            id=SessionId(f"session-{number}"),
            subject=who.id,
            client=client,
            server=server,
            opened_at=now,
            used_at=now,
            ends_at=now + timedelta(days=1),
            idle_seconds=3600,
        )
        return who, session, found


def _consent(
    subject: SubjectId, client: ClientId, server: ServerKey, level: Level, now: object
) -> Consent:
    return Consent(
        host=ACME,
        subject=subject,
        client=client,
        server=server,
        id=ConsentId(f"consent-{subject}"),
        level=level,
        granted_at=now,  # type: ignore[arg-type]
        expires_at=None,
        redirect_uri="http://localhost/",
        client_digest="",
    )


def a_call(host: Host, session: Session, server: Server, method: str, name: str = "") -> Call:
    params = {"name": name, "arguments": {}} if name else {}
    body = body_of(method, params)
    raw = [(key.encode(), value.encode()) for key, value in headers_of(method, params).items()]
    headers = Headers(raw)
    return Call(
        exchange=Exchange(
            id="x",
            host=host,
            **read_head("POST", f"/mcp/{server.key}", b"", raw)._asdict(),
            body=body,
            ip="192.0.2.7",
            began=time.perf_counter(),
        ),
        caller=Caller(
            host=ACME,
            subject=session.subject,
            client=session.client,
            session=session.id,
            server=server.key,
        ),
        session=session,
        client=ClientFacts(id=session.client, name="Agent", active=True),
        server=server,
        message=read(body, "modern"),
        row=METHODS[method],
        revision=revision_of(headers),
        upstream_session=None,
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.requirement("P-09", "K-11", "Z-13", "Z-12", "Z-20")
async def test_lists_and_calls_agree_for_every_person_and_tool(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "own.rego").write_text(RULES)
    (rules / "data.yaml").write_text(_data())
    settings = parse(f"server: {{data_dir: '{tmp_path / 'data'}'}}", base=tmp_path, environ={})
    sizes: set[int] = set()
    refusals: set[str] = set()
    async with open_installation(settings) as parts:
        organisation = Organisation(parts, rules)
        host = await organisation.fill()
        decider = organisation.decider
        for number in range(PEOPLE):
            _, session, server = await organisation.person(number)
            listing = a_call(host, session, server, "tools/list")
            assert len(server.tools) == TOOLS
            shown, allowed = set(), set()
            for name in server.tools:
                seen = await decider.decide(listing, "tool", name, "tools/call", "list")
                called = await decider.decide(a_call(host, session, server, "tools/call", name))
                shown |= {name} if seen.allow else set()
                allowed |= {name} if called.allow else set()
                refusals.add(called.reason)
            assert shown == allowed
            sizes.add(len(allowed))

    assert {0, *range(10, 20)} <= sizes
    assert refusals >= {
        "allowed",
        "tool.disabled",
        "ceiling.none",
        "ceiling.exceeded",
        "consent.level",
        "tier.none",
        "tier.exceeded",
        "role.exceeded",
        "denylist.listed",
        "policy.no_sending",
    }
