"""A host's own rules as somebody offers them: read, judged and tried, ready to be stored.

They are stored in the database, so that every node decides by the same rules without having
the directory or the repository.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safeconduct.core.model import Value
from safeconduct.core.secrets import Secret
from safeconduct.policy import (
    Bundle,
    BundleError,
    Failure,
    Files,
    OwnRules,
    check_bundle,
    public_key,
    read_files,
    relocated,
    tried_elsewhere,
    verified,
)

OWN = "host/"
_MOST_NAMED = 5


class Offer(Value, frozen=True):
    """Rules that may be used.

    Attributes:
        source: Where they come from, without credentials.
        version: What their author numbered them, where authors sign.
        because: Why they are offered, for the log.
    """

    rules: OwnRules = OwnRules()
    source: str = ""
    version: int | None = None
    because: str = "the configuration names no rules"


def read_rules(directory: Path, trusted: Sequence[Secret] = (), *, for_opa: bool = False) -> Offer:
    """Read, judge and test a host's rules. Takes a second and starts processes: not for calls.

    Args:
        directory: Where they are.
        trusted: Public keys; if there are any, one of them must have signed.
        for_opa: They are for OPA servers, so it must be possible to put them there.

    Raises:
        BundleError: If they cannot be used or their tests fail; nothing was changed then.
    """
    files = read_files(directory, everything=bool(trusted))
    rules, version = judged(files, trusted, for_opa=for_opa)
    name = directory.name
    return Offer(
        rules=rules,
        source=f"directory {name}",
        version=version,
        because=f"what the directory {name} holds",
    )


def judged(
    files: Files, trusted: Sequence[Secret], *, for_opa: bool
) -> tuple[OwnRules, int | None]:
    """Judge what a directory holds; returns the rules and their author's version.

    Args:
        files: What was read; every file, where `trusted` is not empty.
        trusted: Public keys; one of them must have signed.
        for_opa: They are for OPA servers.

    Raises:
        BundleError: If they cannot be used or their tests fail.
    """
    keys = [public_key(each.reveal()) for each in trusted]
    version = verified(files, keys) if keys else None
    shipped = Bundle.shipped()
    bundle = shipped.with_files(files)
    failures = _of_the_host(tried_elsewhere(bundle))
    if failures:
        said = "; ".join(failure.message for failure in failures[:_MOST_NAMED])
        more = len(failures) - _MOST_NAMED
        raise BundleError(said + (f"; and {more} more" if more > 0 else ""))
    if for_opa:
        relocated(bundle)
    return OwnRules.of(bundle, shipped), version


def own_failures(bundle: Bundle) -> list[Failure]:
    """Return what is wrong with a host's own part, tried in this process.

    The built-in tests run beside it, but a host may refuse what they expect to be allowed.
    """
    return _of_the_host(check_bundle(bundle))


def _of_the_host(failures: Sequence[Failure]) -> list[Failure]:
    return [failure for failure in failures if not failure.test or failure.message.startswith(OWN)]
