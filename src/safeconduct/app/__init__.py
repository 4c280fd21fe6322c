"""Puts the parts together: settings in, a running gateway out."""

from safeconduct.app.activations import Activations
from safeconduct.app.building import Installation, open_installation
from safeconduct.app.declaring import declared
from safeconduct.app.importing import Importer
from safeconduct.app.judging import Judging, judges_of
from safeconduct.app.looking import installed, look_at_installation
from safeconduct.app.naming import lost_bindings, names_of, schemas_in, unknown_names
from safeconduct.app.occupancy import check_place, sole_server
from safeconduct.app.outside import not_understood, unheeded
from safeconduct.app.plan import Imported, Plan, public_url
from safeconduct.app.provision import Provisioner
from safeconduct.app.repositories import Repositories
from safeconduct.app.reviewing import Reviews
from safeconduct.app.rule_notes import unheard, words_of_calls
from safeconduct.app.rules import Offer, offered, own_failures, read_rules
from safeconduct.app.running import serve
from safeconduct.app.serving import Gateway, configured, gateway
from safeconduct.app.started_settings import kept_until_served_again
from safeconduct.app.watching import CatalogueWatch

__all__ = [
    "Activations",
    "CatalogueWatch",
    "Gateway",
    "Imported",
    "Importer",
    "Installation",
    "Judging",
    "Offer",
    "Plan",
    "Provisioner",
    "Repositories",
    "Reviews",
    "check_place",
    "configured",
    "declared",
    "gateway",
    "installed",
    "judges_of",
    "kept_until_served_again",
    "look_at_installation",
    "lost_bindings",
    "names_of",
    "not_understood",
    "offered",
    "open_installation",
    "own_failures",
    "public_url",
    "read_rules",
    "schemas_in",
    "serve",
    "sole_server",
    "unheard",
    "unheeded",
    "unknown_names",
    "words_of_calls",
]
