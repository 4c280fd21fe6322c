"""Puts the parts together: settings in, a running gateway out."""

from safeconduct.app.building import Installation, open_installation
from safeconduct.app.provision import Provisioner
from safeconduct.app.running import serve
from safeconduct.app.serving import Gateway, configured, gateway
from safeconduct.app.watching import CatalogueWatch

__all__ = [
    "CatalogueWatch",
    "Gateway",
    "Installation",
    "Provisioner",
    "configured",
    "gateway",
    "open_installation",
    "serve",
]
