"""Each host's policy, ready to decide: built once for a bundle, shared by its digest."""

from __future__ import annotations

import logging

from safeconduct.core.model import HostId
from safeconduct.hosts import Host, Hosts
from safeconduct.policy import (
    Bundle,
    BundleError,
    Embedded,
    Engine,
    HostPolicy,
    OpaEngine,
    OpaServers,
    Shadow,
    Shelf,
    host_reads,
    known_data,
    refused_today,
)

_log = logging.getLogger(__name__)


class HostPolicies:
    """Finds a host's policy; an engine is made when a bundle is first needed."""

    def __init__(self, hosts: Hosts, shelf: Shelf, opa: OpaServers | None = None) -> None:
        self._hosts = hosts
        self._shelf = shelf
        self._opa = opa
        self._shipped = Bundle.shipped()
        self._of_host: dict[HostId, tuple[Host, HostPolicy]] = {}
        self._unusable: dict[HostId, Host] = {}

    def of(self, key: HostId) -> HostPolicy:
        """Return the policy in force.

        Raises:
            LookupError: If there is no such host, its bundle is missing or was altered, or nobody
                could run it; the PDP answers that with a deny.
        """
        host = self._hosts.get(key)
        if host is None:
            raise LookupError(key)
        held = self._of_host.get(key)
        if held is not None and held[0] is host:
            return held[1]
        if self._unusable.get(key) is host:
            raise LookupError(key)  # as it was a moment ago
        bundle = bundle_of(host, self._shelf, self._shipped)
        engine = host.policies.policy_engine
        if (
            held is not None
            and held[1].bundle == bundle.digest
            and held[0].policies.policy_engine == engine
            and held[0].policies.policy_shadow == host.policies.policy_shadow
        ):
            policy = held[1]
        else:
            policy = self._made(host, bundle)
        self._of_host[key] = (host, policy)
        return policy

    def _made(self, host: Host, bundle: Bundle) -> HostPolicy:
        """Make what decides.

        Raises:
            LookupError: If it cannot be made of these rules: refused when they are applied, and
                taken by an earlier version. Nobody tries again until the host is another.
        """
        try:
            questions = tuple(known_data(bundle.data).questions.items())
            return HostPolicy(
                engine=self._engine(host, bundle),
                bundle=bundle.digest,
                questions=questions,
                obliges=bundle.obliges,
                reads=host_reads(bundle.own_modules, questions, bundle.data),
                schema=bundle.schema,
                shadow=self._shadow(host),
            )
        except BundleError as error:
            self._unusable[host.key] = host
            _log.error(
                "host %s: its rules cannot be loaded (%s): everything is refused. Mend them and "
                "apply, or go back: safeconduct policy rollback",
                host.key,
                error.public,
            )
            raise LookupError(error.public) from error

    def _shadow(self, host: Host) -> Shadow | None:
        """Return what is asked beside; what cannot be is left out, for it decides nothing."""
        digest = host.policies.policy_shadow
        if not digest:
            return None
        try:
            return Shadow(self._shelf.of(host.key, digest).upon(self._shipped))
        except (LookupError, BundleError):
            return None

    def _engine(self, host: Host, bundle: Bundle) -> Engine:
        embedded = host.policies.policy_engine == "embedded"
        if not embedded and self._opa is None:
            raise LookupError("this process was told of no OPA servers")
        engine = Embedded(bundle) if self._opa is None or embedded else OpaEngine(bundle, self._opa)
        refused = refused_today(bundle.own_modules, bundle.schema)
        if refused:
            _log.warning(
                "host %s: its rules decide, and would not be taken any more (%s): mend them, and "
                "try with safeconduct policy check",
                host.key,
                refused,
            )
        return engine


def bundle_of(host: Host, shelf: Shelf, shipped: Bundle) -> Bundle:
    """Return the shipped rules with the host's own that are in force.

    Raises:
        LookupError: If the stored ones are missing or were altered.
    """
    return shelf.of(host.key, host.policies.policy_bundle).upon(shipped)
