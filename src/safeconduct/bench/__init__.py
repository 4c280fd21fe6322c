"""`safeconduct bench`: what a governed call costs, next to nginx in the same minutes."""

from safeconduct.bench.command import bench

__all__ = ["bench"]
