"""Writes down what the rules of a shadow would have decided otherwise."""

from __future__ import annotations

import logging

from safeconduct.audit import AuditUnavailable, Event, Trail
from safeconduct.core.decision import Decision
from safeconduct.core.model import AccessRequest

FLIP = "policy.flip"
_log = logging.getLogger(__name__)


class Flips:
    """Records flips, and counts them."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self.to_allow = 0
        self.to_deny = 0

    def note(self, request: AccessRequest, decision: Decision, bundle: str, reason: str) -> None:
        """Record one; the decision stands, whether or not this can be written down."""
        if decision.allow:
            self.to_deny += 1
        else:
            self.to_allow += 1
        caller = request.caller
        try:
            self._trail.append(
                Event(
                    kind=FLIP,
                    host=caller.host,
                    subject=caller.subject,
                    client=caller.client,
                    session=caller.session,
                    server=request.resource.server,
                    method=request.action,
                    resource=request.resource.name or None,
                    decision="allow" if decision.allow else "deny",
                    decision_id=decision.id,
                    reason=decision.reason,
                    bundle=bundle,
                    detail={"would": "deny" if decision.allow else "allow", "reason": reason},
                )
            )
        except AuditUnavailable:
            _log.warning("a shadow's answer could not be written down")
