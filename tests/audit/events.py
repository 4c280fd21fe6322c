"""Events and small helpers for the tests of the trail."""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safeconduct.audit import Event, segments
from safeconduct.core.model import ClientId, HostId, ServerKey, SubjectId

# Children import what this process imports, wherever it was started.
CHILD_ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def call(number: int = 0, *, host: str = "acme", **members: Any) -> Event:
    """An allowed call, unless `members` say otherwise."""
    return Event(
        **{
            "kind": "call.intent",
            "host": HostId(host),
            "subject": SubjectId("p_alice"),
            "subject_email": "alice@acme.test",
            "client": ClientId("https://agent.test/client.json"),
            "server": ServerKey("tickets"),
            "method": "tools/call",
            "resource_kind": "tool",
            "resource": f"search_{number}",
            "decision": "allow",
            **members,
        }
    )


def written(directory: Path) -> list[dict[str, Any]]:
    """Read every line with the standard library, not with the code under test."""
    return [
        json.loads(line)
        for file in segments(directory)
        for line in file.path.read_text("utf-8").split("\n")
        if line
    ]


def only_segment(directory: Path) -> Path:
    (file,) = segments(directory)
    return file.path


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes: what passes them is written in part, or fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
