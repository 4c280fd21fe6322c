"""A host's own rules as somebody offers them: read, judged and tried, ready to be stored.

They are stored in the database, so that every node decides by the same rules without having
the directory or the repository.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from safeconduct.app.rule_notes import unheard
from safeconduct.core.model import Value
from safeconduct.core.secrets import Secret
from safeconduct.policy import (
    Bundle,
    BundleError,
    Failing,
    Failure,
    Files,
    OwnRules,
    check_bundle,
    public_key,
    read_files,
    relocated,
    tried_elsewhere,
    verified,
    without,
)
from safeconduct.settings import HostSettings

OWN = "host/"


class Offer(Value, frozen=True):
    """Rules that may be used.

    Attributes:
        source: Where they come from, without credentials.
        version: What their author numbered them, where authors sign.
        because: Why they are offered, for the log.
        notes: What they say and nobody hears.
    """

    rules: OwnRules = OwnRules()
    source: str = ""
    version: int | None = None
    because: str = "the configuration names no rules"
    notes: tuple[str, ...] = ()


def read_rules(
    directory: Path,
    trusted: Sequence[Secret] = (),
    *,
    for_opa: bool = False,
    off: Sequence[str] = (),
) -> Offer:
    """Read, judge and test a host's rules. Takes a second and starts processes: not for calls.

    Args:
        directory: Where they are.
        trusted: Public keys; if there are any, one of them must have signed.
        for_opa: They are for OPA servers, so it must be possible to put them there.
        off: Files that do not count.

    Raises:
        BundleError: If they cannot be used or their tests fail; nothing was changed then.
    """
    files = read_files(directory, everything=bool(trusted))
    rules, version = judged(files, trusted, for_opa=for_opa, off=off)
    name = directory.name
    return Offer(
        rules=rules,
        source=f"directory {name}",
        version=version,
        because=f"what the directory {name} holds{but_for(off)}",
        notes=unheard(rules.upon(Bundle.shipped())),
    )


async def offered(said: HostSettings) -> Offer | None:
    """Return what a host's directory offers, or none; None while something else says which.

    Raises:
        BundleError: If it cannot be used.
    """
    policy = said.policy
    if policy is None:
        return Offer()
    try:
        for key in policy.trusted_keys:
            public_key(key.reveal())  # also where files come later, by git or by request
        if policy.by == "api":
            return None
        if policy.directory is None:
            return Offer() if policy.git is None else None
        return await asyncio.to_thread(
            read_rules,
            policy.directory,
            policy.trusted_keys,
            for_opa=policy.engine == "opa",
            off=policy.off,
        )
    except BundleError as error:
        raise BundleError(f"The rules of host {said.key} cannot be used: {error.public}") from error


def judged(
    files: Files, trusted: Sequence[Secret], *, for_opa: bool, off: Sequence[str] = ()
) -> tuple[OwnRules, int | None]:
    """Judge what a directory holds; returns the rules and their author's version.

    Args:
        files: What was read; every file, where `trusted` is not empty.
        trusted: Public keys; one of them must have signed.
        for_opa: They are for OPA servers.
        off: Files that do not count; they are signed like all others.

    Raises:
        BundleError: If they cannot be used or their tests fail.
    """
    keys = [public_key(each.reveal()) for each in trusted]
    version = verified(files, keys) if keys else None
    shipped = Bundle.shipped()
    bundle = shipped.with_files(without(files, off))
    failures = _of_the_host(tried_elsewhere(bundle))
    if failures:
        raise Failing(failures)
    if for_opa:
        relocated(bundle)
    return OwnRules.of(bundle, shipped), version


def keys_of(said: HostSettings) -> tuple[str, ...]:
    """Return the public keys, in PEM, of those who sign rules that come by request.

    Raises:
        BundleError: If one is none.
    """
    if said.policy is None or said.policy.by != "api":
        return ()  # whoever reads files has the keys at hand
    keys = [public_key(each.reveal()) for each in said.policy.trusted_keys]
    return tuple(key.as_pem(private=False).decode() for key in keys)


def but_for(off: Sequence[str]) -> str:
    """Say which files are switched off, as the end of a sentence."""
    return f", but for {', '.join(off)}" if off else ""


def own_failures(bundle: Bundle) -> list[Failure]:
    """Return what is wrong with a host's own part, tried in this process.

    The built-in tests run beside it, but a host may refuse what they expect to be allowed.
    """
    return _of_the_host(check_bundle(bundle))


def _of_the_host(failures: Sequence[Failure]) -> list[Failure]:
    return [failure for failure in failures if not failure.test or failure.message.startswith(OWN)]
