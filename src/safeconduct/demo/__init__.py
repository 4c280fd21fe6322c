"""The demo's upstream MCP servers: documents, tickets and chat of an invented company.

Each is an ordinary MCP server in a process of its own that has never heard of the gateway:
`python -m safeconduct.demo.tickets --port 0 --data DIR`. They keep real state in SQLite and
write down every call that reaches them, so that a test can prove that a denied one did not.
"""

from safeconduct.demo.command import demo
from safeconduct.demo.store import ExecutedCall, executed_calls

__all__ = ["ExecutedCall", "demo", "executed_calls"]
