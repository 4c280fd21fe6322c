"""What the gateway refuses, as one closed list of codes.

Each surface (JSON-RPC, OAuth, pages) turns codes into its own dialect in one table, and a
test keeps every table complete.
"""

from __future__ import annotations

from enum import Enum


class Code(Enum):
    """Why something was refused. The value is the stable machine text."""

    UNAUTHENTICATED = "unauthenticated"
    INSUFFICIENT_LEVEL = "insufficient_level"
    FORBIDDEN = "forbidden"
    TOOL_CHANGED = "tool_changed"
    APPROVAL = "approval"
    UNKNOWN_TOOL = "unknown_tool"
    UNKNOWN_HOST = "unknown_host"
    NOT_FOUND = "not_found"
    BAD_ORIGIN = "bad_origin"
    PARSE_ERROR = "parse_error"
    INVALID_MESSAGE = "invalid_message"
    INVALID_PARAMS = "invalid_params"
    HEADER_MISMATCH = "header_mismatch"
    UNKNOWN_METHOD = "unknown_method"
    UNSUPPORTED_VERSION = "unsupported_version"
    NOT_ACCEPTABLE = "not_acceptable"
    UNSUPPORTED_MEDIA = "unsupported_media"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    TOO_LARGE = "too_large"
    THROTTLED = "throttled"
    UPSTREAM_FAILED = "upstream_failed"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UNAVAILABLE = "unavailable"
    CONFLICT = "conflict"
    INTERNAL = "internal"


# After how many seconds whoever was told UNAVAILABLE may come back (RFC 9110 section 10.2.3).
RETRY_SECONDS = 5


class GatewayError(Exception):
    """A refusal the gateway means to make.

    Attributes:
        code: What went wrong, from the closed set above.
        public: One sentence for the caller; never holds a secret, a path or a stack.
    """

    code = Code.INTERNAL

    def __init__(self, public: str, *detail: object) -> None:
        super().__init__(public, *detail)
        self.public = public


class Refused(GatewayError):
    """A refusal whose code is given where it is raised."""

    def __init__(self, code: Code, public: str, *detail: object) -> None:
        super().__init__(public, *detail)
        self.code = code
