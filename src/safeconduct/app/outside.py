"""The way out of an installation, as its settings say: forward proxy and trusted authorities."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from safeconduct.core.bypasses import read_variable
from safeconduct.egress import ForwardProxy, parse_proxy, trusting
from safeconduct.settings import EgressSettings

_PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


class Outside(NamedTuple):
    """How everything is reached.

    Attributes:
        proxy: None where everything is reached directly.
        tls: None for the system's authorities alone.
        git: Variables that tell git the same; empty where it finds its way as before.
    """

    proxy: ForwardProxy | None
    tls: ssl.SSLContext | None
    git: dict[str, str]


def outside(egress: EgressSettings, data_dir: Path, environ: Mapping[str, str]) -> Outside:
    """Read the settings.

    Raises:
        Refused: If the authorities cannot be read.
    """
    tls, git = trusting(egress.ca_file), {}
    if egress.ca_file is not None:
        git["GIT_SSL_CAINFO"] = str(_bundle(egress.ca_file, data_dir))
    if egress.proxy is None:
        return Outside(None, tls, git)
    url, names = egress.proxy.reveal(), egress.no_proxy
    if names is None:
        names, _ = read_variable(_no_proxy(environ))
    git |= dict.fromkeys(("HTTPS_PROXY", "https_proxy", "http_proxy"), url)
    git |= dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(names))
    return Outside(parse_proxy(url, names), tls, git)


def unheeded(egress: EgressSettings, environ: Mapping[str, str]) -> str | None:
    """Return the variable that names a proxy which is not used, if there is one."""
    if egress.proxy is not None:
        return None
    return next((name for name in _PROXY_VARIABLES if environ.get(name)), None)


def not_understood(egress: EgressSettings, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return what of the variable `NO_PROXY` cannot be read, and so goes through the proxy."""
    if egress.proxy is None or egress.no_proxy is not None:
        return ()
    return read_variable(_no_proxy(environ))[1]


def _no_proxy(environ: Mapping[str, str]) -> str:
    return environ.get("NO_PROXY") or environ.get("no_proxy") or ""


def _bundle(ca_file: Path, data_dir: Path) -> Path:
    """Write the system's authorities and the file's into one, since git takes only one."""
    system = ssl.get_default_verify_paths().cafile
    known = Path(system).read_bytes() if system else b""
    bundle = data_dir / "authorities.pem"
    bundle.write_bytes(known.rstrip() + b"\n" + ca_file.read_bytes())
    return bundle
