"""The PDP: facts in, a decision out. Rules are Rego, run in this process or by an OPA server."""

from safeconduct.policy.bundle import Bundle
from safeconduct.policy.checks import Failure, check_bundle, tests_of
from safeconduct.policy.engine import Embedded, Engine, EngineFailed
from safeconduct.policy.facts import (
    ClientFacts,
    ConsentFacts,
    Environment,
    Facts,
    SessionFacts,
    SubjectFacts,
    ToolFacts,
    document,
)
from safeconduct.policy.pdp import HostPolicy, Pdp, public_reason
from safeconduct.policy.rego import BundleError
from safeconduct.policy.sources import FactSources

__all__ = [
    "Bundle",
    "BundleError",
    "ClientFacts",
    "ConsentFacts",
    "Embedded",
    "Engine",
    "EngineFailed",
    "Environment",
    "FactSources",
    "Facts",
    "Failure",
    "HostPolicy",
    "Pdp",
    "SessionFacts",
    "SubjectFacts",
    "ToolFacts",
    "check_bundle",
    "document",
    "public_reason",
    "tests_of",
]
