"""The environment variables that override `server:`, as if they stood in the file.

One variable per setting that a deployment may want to differ by machine. An empty variable
counts as unset. Lists are separated by commas.
"""

from __future__ import annotations

import collections.abc
from types import MappingProxyType

from safeconduct.settings.problems import Mark, Problems, nearest
from safeconduct.settings.source import Mapping, Node, Scalar, Sequence, Unreadable, has_control

Environ = collections.abc.Mapping[str, str]

PREFIX = "SAFECONDUCT_"

VARIABLES = MappingProxyType(
    {
        "SAFECONDUCT_LISTEN": "listen",
        "SAFECONDUCT_DATA_DIR": "data_dir",
        "SAFECONDUCT_DATABASE": "database",
        "SAFECONDUCT_WORKERS": "workers",
        "SAFECONDUCT_TRUSTED_PROXIES": "trusted_proxies",
        "SAFECONDUCT_ALLOW_LOOPBACK_UPSTREAMS": "allow_loopback_upstreams",
        "SAFECONDUCT_ALLOW_PRIVATE_UPSTREAMS": "allow_private_upstreams",
        "SAFECONDUCT_METRICS": "metrics",
        "SAFECONDUCT_LOG_LEVEL": "log_level",
        "SAFECONDUCT_DURABILITY": "durability",
    }
)
_LISTS = frozenset({"trusted_proxies"})


def override(root: Node, environ: Environ, problems: Problems) -> Node:
    """Put the variables in the place of what the file says under `server:`."""
    given = {
        setting: _node(variable, setting, environ[variable], problems)
        for variable, setting in VARIABLES.items()
        if environ.get(variable)
    }
    if not given or not isinstance(root, Mapping):
        return root
    server = next((node for key, node in root.entries if key.text == "server"), None)
    if server is not None and not isinstance(server, Mapping):
        return root  # the reader will say what is wrong with it
    kept = [entry for entry in (server.entries if server else ()) if entry[0].text not in given]
    added = [(Scalar(mark=node.mark, text=key, plain=True), node) for key, node in given.items()]
    mark = server.mark if server else root.mark
    merged = Mapping(mark=mark, entries=(*kept, *added))
    others = [entry for entry in root.entries if entry[0].text != "server"]
    heading = Scalar(mark=mark, text="server", plain=True)
    return Mapping(mark=root.mark, entries=((heading, merged), *others))


def strays(environ: Environ) -> list[str]:
    """Warn of variables that look like a misspelt override."""
    found = []
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and variable not in VARIABLES:
            near = nearest(variable.removeprefix(PREFIX), _suffixes())
            if near:
                found.append(
                    f"environment variable {variable} overrides nothing; "
                    f"did you mean {PREFIX}{near}?"
                )
    return found


def _suffixes() -> list[str]:
    return [variable.removeprefix(PREFIX) for variable in VARIABLES]


def _node(variable: str, setting: str, value: str, problems: Problems) -> Node:
    mark = Mark(line=0, column=0, variable=variable)
    if has_control(value):
        problems.add(f"server.{setting}", mark, "holds a control character")
        raise Unreadable(setting)
    if setting not in _LISTS:
        return Scalar(mark=mark, text=value, plain=True)
    words = [word.strip() for word in value.split(",") if word.strip()]
    return Sequence(
        mark=mark, items=tuple(Scalar(mark=mark, text=word, plain=True) for word in words)
    )
