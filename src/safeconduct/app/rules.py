"""A host's own rules: read from its directory, tried, and made ready to be stored.

They are stored with the host, so that every node decides by the same rules without having
the directory. The stored modules include the one that collects what they deny; together with
the built-in modules and the data they are the bundle that decides.
"""

from __future__ import annotations

from pathlib import Path

from safeconduct.core.model import Value
from safeconduct.policy import Bundle, BundleError, Failure, check_bundle, relocated

OWN = "host/"
_MOST_NAMED = 5


class Rules(Value, frozen=True):
    """What a host adds to the built-in rules."""

    modules: tuple[tuple[str, str], ...] = ()
    data: dict[str, object] = {}
    schema: str = ""


def read_rules(directory: Path, *, for_opa: bool = False) -> Rules:
    """Read, judge and test a host's rules. Takes a second and starts a process: not for calls.

    Args:
        directory: Where they are.
        for_opa: They are for OPA servers, so it must be possible to put them there.

    Raises:
        BundleError: If they cannot be used or their tests fail; nothing was changed then.
    """
    bundle = Bundle.shipped().with_directory(directory)
    failures = own_failures(bundle)
    if failures:
        said = "; ".join(failure.message for failure in failures[:_MOST_NAMED])
        more = len(failures) - _MOST_NAMED
        raise BundleError(said + (f"; and {more} more" if more > 0 else ""))
    if for_opa:
        relocated(bundle)
    shipped = set(Bundle.shipped().modules)
    return Rules(
        modules=tuple(module for module in bundle.modules if module not in shipped),
        data=dict(bundle.data),
        schema=bundle.schema,
    )


def own_failures(bundle: Bundle) -> list[Failure]:
    """Return what is wrong with a host's own part.

    The built-in tests run beside it, but a host may refuse what they expect to be allowed.
    """
    return [
        failure
        for failure in check_bundle(bundle)
        if not failure.test or failure.message.startswith(OWN)
    ]
