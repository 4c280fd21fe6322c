"""The PDP: facts in, a decision out. Rules are Rego, run in this process or by an OPA server."""

from safeconduct.policy.answers import Answered
from safeconduct.policy.bundle import Bundle
from safeconduct.policy.checks import check_bundle, tests_of
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
from safeconduct.policy.failures import Failure
from safeconduct.policy.opa import OpaEngine
from safeconduct.policy.opa_servers import OpaServers
from safeconduct.policy.pdp import HostPolicy, Pdp, public_reason
from safeconduct.policy.rego import BundleError
from safeconduct.policy.relocation import relocated
from safeconduct.policy.replay import (
    Again,
    Comparison,
    Flip,
    Recorded,
    Rules,
    compare,
    explained,
    recorded,
)
from safeconduct.policy.scenarios import Scenario, read_scenario, run_scenario
from safeconduct.policy.schema import input_schema
from safeconduct.policy.sources import Device, FactSources, Relationships

__all__ = [
    "Again",
    "Answered",
    "Bundle",
    "BundleError",
    "ClientFacts",
    "Comparison",
    "ConsentFacts",
    "Device",
    "Embedded",
    "Engine",
    "EngineFailed",
    "Environment",
    "FactSources",
    "Facts",
    "Failure",
    "Flip",
    "HostPolicy",
    "Input",
    "KnownData",
    "OpaEngine",
    "OpaServers",
    "Pdp",
    "Recorded",
    "RelationFact",
    "Relationships",
    "Rules",
    "Scenario",
    "SessionFacts",
    "SubjectFacts",
    "ToolFacts",
    "check_bundle",
    "compare",
    "document",
    "explained",
    "input_schema",
    "known_data",
    "public_reason",
    "read_scenario",
    "recorded",
    "relocated",
    "run_scenario",
    "tests_of",
]
