"""Relationships: who is what to whom, what follows from it, and the ceilings made of it.

SpiceDB's schema language over tuples kept in SQL, answered from memory or by a SpiceDB cluster.
"""

from safeconduct.relations.asking import check, check_many
from safeconduct.relations.backend import Backend, Embedded
from safeconduct.relations.ceilings import (
    Ceilings,
    agent,
    ceiling_tuple,
    consent_tuples,
    group,
    members,
    membership_tuples,
    person,
)
from safeconduct.relations.editing import MOST as MOST_EDITED
from safeconduct.relations.editing import Edit, Edited, Editor
from safeconduct.relations.errors import (
    BackendUnavailable,
    QuestionRefused,
    SchemaError,
    Unanswerable,
)
from safeconduct.relations.graph import Graph
from safeconduct.relations.kept import KEPT, check_kept
from safeconduct.relations.listing import Filter, Stored, some
from safeconduct.relations.lookup import lookup_resources, lookup_subjects
from safeconduct.relations.opening import open_spicedb
from safeconduct.relations.outbox import forget as forget_clusters
from safeconduct.relations.questions import Question, Subjects, Verdict
from safeconduct.relations.schema import Schema, SchemaOf, base_text, compile_schema, host_schema
from safeconduct.relations.store import Relations
from safeconduct.relations.tuples import (
    ACCESS,
    API,
    CONFIGURATION,
    DIRECTORY,
    Tuple,
    every,
    expired,
    remove,
    write,
)

__all__ = [
    "ACCESS",
    "API",
    "CONFIGURATION",
    "DIRECTORY",
    "KEPT",
    "MOST_EDITED",
    "Backend",
    "BackendUnavailable",
    "Ceilings",
    "Edit",
    "Edited",
    "Editor",
    "Embedded",
    "Filter",
    "Graph",
    "Question",
    "QuestionRefused",
    "Relations",
    "Schema",
    "SchemaError",
    "SchemaOf",
    "Stored",
    "Subjects",
    "Tuple",
    "Unanswerable",
    "Verdict",
    "agent",
    "base_text",
    "ceiling_tuple",
    "check",
    "check_kept",
    "check_many",
    "compile_schema",
    "consent_tuples",
    "every",
    "expired",
    "forget_clusters",
    "group",
    "host_schema",
    "lookup_resources",
    "lookup_subjects",
    "members",
    "membership_tuples",
    "open_spicedb",
    "person",
    "remove",
    "some",
    "write",
]
