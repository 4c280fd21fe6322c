"""The PDP: facts in, a decision out. Rules are Rego, run in this process or by an OPA server."""

from safeconduct.policy.bundle import Bundle
from safeconduct.policy.checks import Failure, check_bundle, tests_of
from safeconduct.policy.data import KnownData, known_data
from safeconduct.policy.engine import Embedded, Engine, EngineFailed
from safeconduct.policy.facts import (
    ClientFacts,
    ConsentFacts,
    Environment,
    Facts,
    Input,
    RelationFact,
    SessionFacts,
    SubjectFacts,
    ToolFacts,
    document,
)
from safeconduct.policy.opa import OpaEngine
from safeconduct.policy.opa_servers import OpaServers
from safeconduct.policy.pdp import HostPolicy, Pdp, public_reason
from safeconduct.policy.rego import BundleError
from safeconduct.policy.relocation import relocated
from safeconduct.policy.sources import Answered, Device, FactSources, Relationships

__all__ = [
    "Answered",
    "Bundle",
    "BundleError",
    "ClientFacts",
    "ConsentFacts",
    "Device",
    "Embedded",
    "Engine",
    "EngineFailed",
    "Environment",
    "FactSources",
    "Facts",
    "Failure",
    "HostPolicy",
    "Input",
    "KnownData",
    "OpaEngine",
    "OpaServers",
    "Pdp",
    "RelationFact",
    "Relationships",
    "SessionFacts",
    "SubjectFacts",
    "ToolFacts",
    "check_bundle",
    "document",
    "known_data",
    "public_reason",
    "relocated",
    "tests_of",
]
