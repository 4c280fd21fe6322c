"""Before every request: which host, from where, how often. Nothing of identity.

`Door` looks at every request once, whichever way it is served; `Edge` is the outermost ASGI
application, for pages and programs. The Host field alone chooses the tenant (RFC 9110 section
7.2); forwarded fields are read only for the client's address, and only from proxies the
operator named.
"""

from safeconduct.edge.addresses import ClientAddresses, Network, subscriber
from safeconduct.edge.application import Edge, is_mcp
from safeconduct.edge.door import AWAY, OUT_OF_TOUCH, Approach, Door, Turned
from safeconduct.edge.rates import Limits, Throttle, Window, wait

__all__ = [
    "AWAY",
    "OUT_OF_TOUCH",
    "Approach",
    "ClientAddresses",
    "Door",
    "Edge",
    "Limits",
    "Network",
    "Throttle",
    "Turned",
    "Window",
    "is_mcp",
    "subscriber",
    "wait",
]
