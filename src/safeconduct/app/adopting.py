"""Which rules a host is to have after applying: those of the file, or those it has.

What a directory offers is taken, unless an operator went back from exactly that. What a
repository holds is not looked at here, nor what is put by request: the host keeps what it has,
and a new one has nothing that decides until the repository was read, or rules were put.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from msgspec.structs import replace

from safeconduct.app.activations import Activations
from safeconduct.app.moves import Act, Mover
from safeconduct.app.present import Present
from safeconduct.app.rules import OWN, Offer
from safeconduct.app.targets import Target
from safeconduct.policy import PENDING, BundleError, OwnRules
from safeconduct.storage import Read

_DAMAGED = "the stored rules were altered and are replaced"
_WAITING = {
    "files": "nothing is allowed until its policy repository was read",
    "api": "nothing is allowed until rules are put by API",
}


class Adopting(NamedTuple):
    """What becomes of a host's rules.

    Attributes:
        target: The host as it will be.
        before: The rules in force; None when the stored ones cannot be trusted.
        after: The rules that will be.
        offer: What is to be activated, if anything.
        warning: What was left alone on purpose, or "".
        waited: What nothing was allowed until now for, or "".
    """

    target: Target
    before: OwnRules | None
    after: OwnRules
    offer: Offer | None = None
    warning: str = ""
    waited: str = ""


async def adopting(
    tx: Read, present: Present, target: Target, activations: Activations
) -> Adopting:
    """Decide between what is offered and what there is.

    Raises:
        BundleError: If what is offered was signed before something the host has had.
    """
    key = target.host.key
    now = None if present.host is None else present.host.policies.policy_bundle
    shadow = "" if present.host is None else present.host.policies.policy_shadow
    before = await activations.stored(tx, key, now or "")
    offer = target.offer
    if offer is None:
        kept = PENDING if now is None else now
        return Adopting(_with(target, kept, shadow), before, before or OwnRules())
    digest = offer.rules.digest
    if now is not None and await activations.held(tx, key, now, digest):
        return Adopting(
            _with(target, now, shadow),
            before,
            before or OwnRules(),
            warning=f"its rules are still those that were rolled back ({digest[:12]}), so it "
            f"stays on {now[:12]} until they change; or: safeconduct policy rollback {digest[:12]}",
        )
    if digest == (now or "") and before is not None:
        return Adopting(_with(target, digest, shadow), before, offer.rules)
    try:
        await activations.check_version(tx, key, offer)
    except BundleError as error:
        raise BundleError(f"The rules of host {key} cannot be used: {error.public}") from error
    waited = "" if present.host is None or now != PENDING else present.host.policies.policy_by
    return Adopting(_with(target, digest, shadow), before, offer.rules, offer=offer, waited=waited)


def _with(target: Target, digest: str, shadow: str) -> Target:
    """Give a target its rules; what is asked beside them is no matter of the file."""
    policies = replace(target.host.policies, policy_bundle=digest, policy_shadow=shadow)
    return replace(target, host=replace(target.host, policies=policies))


def compare_rules(mover: Mover, found: Adopting, act: Act) -> None:
    """Name the files that become different."""
    if found.before is None:
        if found.offer is not None:
            mover.add("policy", "bundle", "change", (_DAMAGED,), act)
        return
    before, after = dict(found.before.modules), dict(found.after.modules)
    differing = [path for path in {*before, *after} if before.get(path) != after.get(path)]
    # The module that collects what the others deny is made from them; alone, it is worth a word.
    own = [path for path in differing if path.startswith(OWN)]
    for path in sorted(own or differing):
        if path not in before:
            mover.add("policy", path, "create", ("new rules",), act)
        elif path not in after:
            off = path.removeprefix(OWN) in found.target.off
            why = "rules switched off" if off else "rules no longer there"
            mover.add("policy", path, "remove", (why,), act)
        else:
            mover.add("policy", path, "change", ("other rules",), act)


def beside_modules(found: Adopting) -> Iterator[str]:
    """Say what changes of the rules beside their files."""
    before, after = found.before, found.after
    if before is None:
        return
    if found.waited:
        what = "its policy repository is" if found.waited == "files" else "rules by API are"
        yield f"{what} no longer waited for"
    if before.data != after.data:
        yield "the rules' data changes"
    if before.schema != after.schema:
        yield "the definitions of types and permissions change"
    tested = (before.tests, before.scenarios) != (after.tests, after.scenarios)
    if tested and before.modules == after.modules:
        yield "the rules' tests change"


def switched_off(target: Target) -> str:
    """Say at every look which files do not count, or ""."""
    return f"policy.off switches off {', '.join(target.off)}" if target.off else ""


def of_a_new_host(found: Adopting) -> tuple[str, ...]:
    """Say what a host begins with."""
    policies = found.target.host.policies
    return (_WAITING[policies.policy_by],) if policies.policy_bundle == PENDING else ()


def by_api(target: Target) -> str:
    """Say at every look which rules are left alone because they come by request, or ""."""
    if target.host.policies.policy_by != "api":
        return ""
    now = target.host.policies.policy_bundle
    stays = f"bundle {now[:12]} stays" if now else "the built-in rules alone stay"
    said = _WAITING["api"] if now == PENDING else f"{stays} in force"
    return f"its rules come by API, so {said}"
