from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from safeconduct.settings import Settings, SettingsError, parse

Parse = Callable[..., Settings]
Fail = Callable[..., SettingsError]

HOST = """\
server: {allow_loopback_upstreams: true}
hosts:
  - key: acme
    origin: http://localhost:8420
    people:
      - {email: alice@acme.test, groups: [engineering]}
    servers:
      - {key: tickets, url: "http://127.0.0.1:9001/mcp"}
"""


@pytest.fixture
def read(tmp_path: Path) -> Parse:
    """Parse beside an empty directory, without an environment unless one is given."""

    def read(text: str, environ: Mapping[str, str] | None = None) -> Settings:
        return parse(text, base=tmp_path, environ=environ or {})

    return read


@pytest.fixture
def refuse(read: Parse) -> Fail:
    """Expect a refusal and return it."""

    def refuse(text: str, environ: Mapping[str, str] | None = None) -> SettingsError:
        with pytest.raises(SettingsError) as caught:
            read(text, environ)
        return caught.value

    return refuse
