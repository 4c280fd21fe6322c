"""The protocol revisions that are spoken here, on both sides, and the era each belongs to.

What is read from a server and what is taken from a client is held against this one list, so
that whatever `initialize` lets through, the next message may carry.
"""

from __future__ import annotations

from typing import Literal

LEGACY: Literal["legacy"] = "legacy"
MODERN: Literal["modern"] = "modern"

# The newest first. 2024-11-05 is spoken over Streamable HTTP alone, which it did not know yet.
LEGACY_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
MODERN_VERSIONS = ("2026-07-28",)
VERSIONS = MODERN_VERSIONS + LEGACY_VERSIONS
