"""Puts the parts together: settings in, a running gateway out."""

from safeconduct.app.building import Installation, open_installation
from safeconduct.app.provision import Provisioner
from safeconduct.app.serving import Gateway, gateway, serve
from safeconduct.app.watching import CatalogueWatch

__all__ = [
    "CatalogueWatch",
    "Gateway",
    "Installation",
    "Provisioner",
    "gateway",
    "open_installation",
    "serve",
]
