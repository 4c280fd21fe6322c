"""The audit trail: written before anything happens, linked so that nothing can vanish."""

from safeconduct.audit.arguments import SealedArguments, SealError
from safeconduct.audit.event import INSTALLATION, AuditUnavailable, Event
from safeconduct.audit.exporter import export
from safeconduct.audit.keeping import Budget, Keeping, Kept
from safeconduct.audit.promises import Problem
from safeconduct.audit.reader import Filters, Tail, follow, latest, read
from safeconduct.audit.record import Link
from safeconduct.audit.seal_mark import mark_path
from safeconduct.audit.segment import SegmentFile, segments
from safeconduct.audit.shape import MOST_NAMES, redacted_shape
from safeconduct.audit.trail import Durability, Trail
from safeconduct.audit.verification import Verification, verify

__all__ = [
    "INSTALLATION",
    "MOST_NAMES",
    "AuditUnavailable",
    "Budget",
    "Durability",
    "Event",
    "Filters",
    "Keeping",
    "Kept",
    "Link",
    "Problem",
    "SealError",
    "SealedArguments",
    "SegmentFile",
    "Tail",
    "Trail",
    "Verification",
    "export",
    "follow",
    "latest",
    "mark_path",
    "read",
    "redacted_shape",
    "segments",
    "verify",
]
