"""The PDP: facts in, a decision out. Rules are Rego, run in this process or by an OPA server."""

from safeconduct.policy.answers import (
    Answered,
)
from safeconduct.policy.archive import (
    packed,
)
from safeconduct.policy.attribution import (
    deciding_rules,
)
from safeconduct.policy.authors import (
    make_key,
    public_key,
    signatures,
    verified,
    version_of,
)
from safeconduct.policy.built_in import (
    bundle_named,
    keep_built_in,
    kept_built_in,
)
from safeconduct.policy.bundle import (
    Bundle,
)
from safeconduct.policy.checks import (
    check_bundle,
    tests_of,
)
from safeconduct.policy.content import (
    OwnRules,
)
from safeconduct.policy.data import (
    KnownData,
    known_data,
)
from safeconduct.policy.engine import (
    Embedded,
    Engine,
)
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
from safeconduct.policy.failures import (
    EngineFailed,
    Failing,
    Failure,
)
from safeconduct.policy.files import (
    MAX_READ_BYTES,
    MAX_READ_FILES,
    SIGNATURES,
    Files,
    belongs,
    counts,
    is_plain,
    read_files,
    unread_files,
    without,
)
from safeconduct.policy.opa import OpaEngine
from safeconduct.policy.opa_servers import OpaServers
from safeconduct.policy.own_reads import (
    OwnReads,
    binding_path,
    computed,
    host_reads,
    without_type,
)
from safeconduct.policy.pdp import (
    FAILED,
    HostPolicy,
    Pdp,
    public_reason,
)
from safeconduct.policy.rego import (
    BundleError,
)
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
from safeconduct.policy.rule_notes import notes_of
from safeconduct.policy.scenarios import (
    Scenario,
    decide_given,
    read_scenario,
    run_scenario,
)
from safeconduct.policy.schema import (
    input_schema,
)
from safeconduct.policy.shadow import Shadow
from safeconduct.policy.shelf import (
    Shelf,
)
from safeconduct.policy.signing import (
    Signer,
)
from safeconduct.policy.sources import (
    Device,
    FactSources,
    Relationships,
)
from safeconduct.policy.standing import (
    Standing,
    State,
    claim,
    settle,
    standing_of,
)
from safeconduct.policy.store import (
    PENDING,
    Activation,
    Kind,
    Stored,
    before_now,
    beginning_with,
    history,
    keep,
    load,
    newest_version,
    note,
    rolled_back,
)
from safeconduct.policy.trial import (
    tried_elsewhere,
)
from safeconduct.policy.vetting import (
    refused_today,
)

__all__ = [
    "FAILED",
    "MAX_READ_BYTES",
    "MAX_READ_FILES",
    "PENDING",
    "SIGNATURES",
    "Activation",
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
    "Failing",
    "Failure",
    "Files",
    "Flip",
    "HostPolicy",
    "Input",
    "Kind",
    "KnownData",
    "OpaEngine",
    "OpaServers",
    "OwnReads",
    "OwnRules",
    "Pdp",
    "Recorded",
    "RelationFact",
    "Relationships",
    "Rules",
    "Scenario",
    "SessionFacts",
    "Shadow",
    "Shelf",
    "Signer",
    "Standing",
    "State",
    "Stored",
    "SubjectFacts",
    "ToolFacts",
    "before_now",
    "beginning_with",
    "belongs",
    "binding_path",
    "bundle_named",
    "check_bundle",
    "claim",
    "compare",
    "computed",
    "counts",
    "decide_given",
    "deciding_rules",
    "document",
    "explained",
    "history",
    "host_reads",
    "input_schema",
    "is_plain",
    "keep",
    "keep_built_in",
    "kept_built_in",
    "known_data",
    "load",
    "make_key",
    "newest_version",
    "note",
    "notes_of",
    "packed",
    "public_key",
    "public_reason",
    "read_files",
    "read_scenario",
    "recorded",
    "refused_today",
    "relocated",
    "rolled_back",
    "run_scenario",
    "settle",
    "signatures",
    "standing_of",
    "tests_of",
    "tried_elsewhere",
    "unread_files",
    "verified",
    "version_of",
    "without",
    "without_type",
]
