"""Compares what a host is with what it is to become: hosts, people, operators, clients.

Only people and clients that a configuration brought are taken away with it; whoever signed up
or registered alone stays. A password in the file is the first one: it is set where there is
none and never replaces one a person chose.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from safeconduct import hosts, people
from safeconduct.app.adopting import Adopting, beside_modules, compare_rules, of_a_new_host
from safeconduct.app.moves import Act, Doing, Mover, hashed_as
from safeconduct.app.plan import became, short
from safeconduct.app.present import Present
from safeconduct.app.targets import Target
from safeconduct.core.emails import normal_email
from safeconduct.core.model import ClientId
from safeconduct.core.secrets import digest, same
from safeconduct.hosts import Host, Policies
from safeconduct.oauth import Client, remove_client, shown_name
from safeconduct.people import Operator, Person
from safeconduct.settings import ClientSettings, OperatorSettings, PersonSettings

_FIRST_PASSWORD = "a first password"  # noqa: S105  the words that stand for one
_COMES_BY = {
    "api": "its rules come by API from now on, and what decides stays until some are put",
    "files": "its rules come from the configuration again, and no longer by API",
}
_SUSPENDED = "{} is suspended and stays so; restore with: safeconduct people restore {}"


def compare_host(mover: Mover, present: Present, found: Adopting) -> None:
    """Compare the tenant itself and its policies."""
    wanted = found.target.host

    async def act(doing: Doing) -> None:
        await hosts.save(doing.tx, wanted)

    if present.host is None:
        what = (f"at {wanted.origin}", *of_a_new_host(found))
        mover.add("host", wanted.key, "create", what, act)
    else:
        changes = (*_host_changes(present.host, wanted), *beside_modules(found))
        mover.add("host", wanted.key, "change", changes, act)
    compare_rules(mover, found, act)


def _host_changes(present: Host, wanted: Host) -> Iterator[str]:
    for name in ("name", "origin"):
        before, after = getattr(present, name), getattr(wanted, name)
        if before != after:
            yield became(name, before, after)
    flat_before, flat_after = _flat(present.policies), _flat(wanted.policies)
    for name, after in flat_after.items():
        if flat_before[name] != after:
            yield became(name, flat_before[name], after)
    yield from _source_changes(present.policies, wanted.policies)
    yield from _point_changes(present.policies, wanted.policies)
    before_documents = present.policies.clients.added_documents
    after_documents = wanted.policies.clients.added_documents
    if before_documents != after_documents:
        yield became(
            "client documents added",
            [each.url for each in before_documents],
            [each.url for each in after_documents],
        )


def _source_changes(present: Policies, wanted: Policies) -> Iterator[str]:
    if present.policy_by != wanted.policy_by:
        yield _COMES_BY[wanted.policy_by]
    if present.policy_keys != wanted.policy_keys and wanted.policy_by == "api":
        signed = "other keys" if wanted.policy_keys else "no key"
        yield f"rules by API have to be signed by {signed} from now on"


def _point_changes(present: Policies, wanted: Policies) -> Iterator[str]:
    before = {each.id: each for each in present.enforcement_points}
    after = {each.id: each for each in wanted.enforcement_points}
    if [*before] != [*after]:
        yield became("enforcement points", [*before], [*after])
    for name in sorted(before.keys() & after.keys()):
        if before[name].secret_digest != after[name].secret_digest:
            yield f"a new secret for the enforcement point {name}"
    for name in sorted(after):
        for what in ("relations", "policy", "tools"):
            may = getattr(before[name], what) if name in before else "none"
            if may != getattr(after[name], what):
                yield became(
                    f"{what} for the enforcement point {name}", may, getattr(after[name], what)
                )


def _flat(policies: Policies) -> dict[str, object]:
    """Name each policy by its path; what has sentences of its own is left out."""
    spelled: dict[str, Any] = msgspec.to_builtins(
        replace(
            policies,
            policy_bundle="",
            policy_by="files",
            policy_keys=(),
            enforcement_points=(),
            clients=replace(policies.clients, added_documents=()),
        )
    )
    found: dict[str, object] = {}
    for group, value in spelled.items():
        if isinstance(value, dict):
            found |= {f"{group}.{name}": each for name, each in value.items()}
        else:
            found[group] = value
    return found


def compare_people(mover: Mover, present: Present, target: Target) -> list[str]:
    """Compare the people; returns sentences about what was left alone on purpose."""
    warnings = []
    for email, said in target.people.items():
        person = present.people.get(email)
        if person is None:
            mover.add(
                "person", email, "create", _newcomer(said), _created(said), secret=said.password
            )
            continue
        if person.configured and not person.active:
            warnings.append(_SUSPENDED.format(email, email))
        password = None if email in present.passwords else said.password
        changes = (*_person_changes(person, said), *([_FIRST_PASSWORD] if password else []))
        mover.add("person", email, "change", changes, _described(person, said), secret=password)
    for email, person in present.people.items():
        if person.configured and email not in target.people:
            mover.add("person", email, "remove", ("may no longer sign in",), _retired(person))
    return warnings


def _newcomer(said: PersonSettings) -> tuple[str, ...]:
    groups = f"in {', '.join(said.groups)}" if said.groups else "in no group"
    return (short(said.name), short(groups), *([_FIRST_PASSWORD] if said.password else []))


def _person_changes(person: Person, said: PersonSettings) -> Iterator[str]:
    if person.name != said.name:
        yield became("name", person.name, said.name)
    if person.groups != said.groups:
        yield became("groups", person.groups, said.groups)
    if person.attributes != said.attributes:
        # Their values can be private; which ones they are is enough to know.
        named = sorted(
            name
            for name in {*person.attributes, *said.attributes}
            if person.attributes.get(name) != said.attributes.get(name)
        )
        yield f"attributes: {short(', '.join(named)) or 'all'} change"
    if not person.configured:
        yield "belongs to the configuration from now on"


def _created(said: PersonSettings) -> Act:
    async def act(doing: Doing) -> None:
        person = await people.create(
            doing.tx,
            doing.host,
            email=said.email,
            name=said.name,
            at=doing.at,
            password_hash=doing.hashes.get(hashed_as("person", normal_email(said.email))),
            groups=said.groups,
            attributes=said.attributes,
            configured=True,
        )
        doing.ids[person.email] = person.id

    return act


def _described(person: Person, said: PersonSettings) -> Act:
    # Whoever was suspended by hand stays suspended; whoever comes back to the file is back.
    active = person.active or not person.configured

    async def act(doing: Doing) -> None:
        await people.describe(
            doing.tx,
            doing.host,
            person.id,
            name=said.name,
            groups=said.groups,
            attributes=said.attributes,
            configured=True,
        )
        if not active:
            await people.set_active(doing.tx, doing.host, person.id, active=False)
        password_hash = doing.hashes.get(hashed_as("person", person.email))
        if password_hash is not None:
            await people.set_password(doing.tx, doing.host, person.id, password_hash)

    return act


def _retired(person: Person) -> Act:
    async def act(doing: Doing) -> None:
        await people.describe(
            doing.tx,
            doing.host,
            person.id,
            name=person.name,
            groups=(),
            attributes=person.attributes,
            configured=False,
        )
        await people.set_active(doing.tx, doing.host, person.id, active=False)

    return act


def compare_operators(mover: Mover, present: Present, target: Target) -> None:
    """Compare those who administer the host; the file knows all of them."""
    for email, said in target.operators.items():
        operator = present.operators.get(email)
        password = None if email in present.operator_passwords else said.password
        given = (_FIRST_PASSWORD,) if password else ()
        act = _operator_saved(email, said)
        if operator is None:
            what = (f"role {said.role}", *given)
            mover.add("operator", email, "create", what, act, secret=password)
            continue
        changed = (became("role", operator.role, said.role),) if operator.role != said.role else ()
        mover.add("operator", email, "change", (*changed, *given), act, secret=password)
    for email, operator in present.operators.items():
        if email not in target.operators:
            what = (f"is no longer {operator.role}",)
            mover.add("operator", email, "remove", what, _operator_removed(email))


def _operator_saved(email: str, said: OperatorSettings) -> Act:
    async def act(doing: Doing) -> None:
        operator = Operator(host=doing.host, email=email, role=said.role)
        await people.save_operator(
            doing.tx, operator, doing.hashes.get(hashed_as("operator", email))
        )

    return act


def _operator_removed(email: str) -> Act:
    async def act(doing: Doing) -> None:
        await people.remove_operator(doing.tx, doing.host, email)

    return act


def compare_clients(
    mover: Mover, present: Present, target: Target, digests: dict[ClientId, str | None]
) -> None:
    """Compare the agents that were registered beforehand.

    Args:
        mover: Takes the moves.
        present: What is stored.
        target: What is wanted.
        digests: Digests of the stored clients' secrets.
    """
    for key, said in target.clients.items():
        client = present.clients.get(key)
        act = _registered(said)
        if client is None:
            mover.add("client", key, "create", (shown_name(said.name),), act)
        else:
            what = tuple(_client_changes(client, said, digests.get(key)))
            mover.add("client", key, "change", what, act)
    for key, client in present.clients.items():
        if client.kind == "registered" and key not in target.clients:
            mover.add("client", key, "remove", (shown_name(client.name),), _forgotten(key))


def _client_changes(client: Client, said: ClientSettings, stored: str | None) -> Iterator[str]:
    if client.kind != "registered":
        yield "is registered beforehand from now on"
    if client.name != shown_name(said.name):
        yield became("name", client.name, shown_name(said.name))
    if client.redirect_uris != said.redirect_uris:
        yield became("redirect URIs", client.redirect_uris, said.redirect_uris)
    wanted = None if said.secret is None else digest(said.secret.reveal())
    if (stored is None) != (wanted is None):
        yield "has no secret any more" if wanted is None else "has a secret now"
    elif stored is not None and wanted is not None and not same(stored, wanted):
        yield "a new secret"


def _registered(said: ClientSettings) -> Act:
    async def act(doing: Doing) -> None:
        await doing.clients.register_configured(
            doing.tx, doing.host, ClientId(said.id), said.name, said.redirect_uris, said.secret
        )

    return act


def _forgotten(key: ClientId) -> Act:
    async def act(doing: Doing) -> None:
        await remove_client(doing.tx, doing.host, key)

    return act
