"""The command `safeconduct`: exit codes 0 success, 1 the user's error, 2 ours.

What a command takes stands in the modules of this package, what it does in those of `work`,
which are imported when a command runs: help must not wait for a web server to be imported.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    from safeconduct.cli.program import run  # noqa: PLC0415  cheap for whoever imports us

    sys.exit(run(sys.argv[1:]))
