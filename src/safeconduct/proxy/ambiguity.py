"""Between deciding and refusing: what a server might read otherwise than it was decided.

An allow is for what was asked as it was read here. Where readers differ, it is taken back, with a
sentence that says what to send instead. A refusal for what the caller is, or may not use, stays
what it is: nobody learns from this what they may not know.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec.structs import replace

from safeconduct.core.binding import scheme_of, shape_of
from safeconduct.core.decision import Decision
from safeconduct.core.model import AccessRequest
from safeconduct.core.resource_uri import abnormality, misspelling
from safeconduct.policy import OwnReads
from safeconduct.proxy.fitting import Fitting
from safeconduct.proxy.refusals import ARGUMENTS_UNFIT
from safeconduct.upstreams import TEMPLATE, Server

URI_FORM = "uri.form"
_LONGEST_PROBLEM = 300
# Reasons that may come of the arguments; what is wrong with those is the better answer.
_OF_ARGUMENTS = ("policy.", "relation.", "engine.failed")
_abnormality, _misspelling = (lru_cache(maxsize=1024)(each) for each in (abnormality, misspelling))


def judged_uri(
    decision: Decision,
    request: AccessRequest,
    *,
    server: Server | None,
    reads: OwnReads,
    template: bool = False,
) -> Decision:
    """Return a decision about a resource, or a refusal if its URI has several readings.

    Args:
        decision: What the rules and relations said.
        request: What they were asked about.
        server: Whose resource it is.
        reads: What the host's own rules read of it.
        template: Whether the text may be a template, which stands for no resource itself.
    """
    if not decision.allow or request.resource.kind != "resource":
        return decision
    uri = request.resource.name
    fault = uri_fault(uri, server=server, reads=reads, template=template)
    if template and not fault and _is_unlisted(uri, server, reads):
        return taken_back(
            decision,
            reason=URI_FORM,
            message=f"{uri} is no template that the server lists. Nothing was done. Send one as "
            "resources/templates/list shows it.",
        )
    if not fault:
        return decision
    return taken_back(
        decision,
        reason=URI_FORM,
        message=f"The URI has more than one reading: {fault}. Nothing was done. Send the URI in "
        "its normal form, as the server lists it.",
    )


def judged_arguments(
    decision: Decision,
    request: AccessRequest,
    *,
    server: Server | None,
    era: str,
    reads: OwnReads,
    fitting: Fitting,
) -> Decision:
    """Return a decision about a call of a tool, or a refusal if its arguments do not fit.

    Args:
        decision: What the rules and relations said.
        request: What they were asked about.
        server: Whose tool it is.
        era: The one the call is sent in, "" where none is said.
        reads: What the host's own rules read of it.
        fitting: Holds arguments against the schemas of tools.
    """
    tool = None if server is None else server.tools.get(request.resource.name)
    stands = not decision.allow and not decision.reason.startswith(_OF_ARGUMENTS)
    if stands or server is None or tool is None:
        return decision
    unfit = fitting.arguments(
        server,
        tool,
        request.arguments or {},
        spelled=decision.arguments,
        era=era,
        reads=reads,
    )
    if unfit is None:
        return decision
    problem = unfit.problem[:_LONGEST_PROBLEM]
    if not unfit.refuses:
        return replace(decision, unfit=problem)
    refusal = taken_back(
        decision,
        reason=ARGUMENTS_UNFIT,
        message=f"The arguments do not fit the schema of {tool.name}: {problem}. Nothing was done. "
        "Correct them and call again.",
    )
    return replace(refusal, unfit=problem)


def uri_fault(uri: str, *, server: Server | None, reads: OwnReads, template: bool = False) -> str:
    """Say why a URI is not to be sent as it is spelled, as a clause; "" if it may be."""
    bindings = () if server is None else server.resources
    if template and "{" in uri:
        fault = _misspelling(uri)
        known = any(shape_of(each.uri) == shape_of(uri) for each in bindings)
        bound = any(scheme_of(each.uri) == scheme_of(uri) for each in bindings)
        return fault or ("it is no template that is known here" if bound and not known else "")
    return _abnormality(uri) if bindings or reads.uri else _misspelling(uri)


def _is_unlisted(uri: str, server: Server | None, reads: OwnReads) -> bool:
    """Say whether a template is none of a server's, where what it is would matter.

    A server whose templates were never read may have any.
    """
    if server is None or "{" not in uri or TEMPLATE not in server.kinds:
        return False
    if not server.resources and not reads.uri:
        return False
    bound = any(shape_of(each.uri) == shape_of(uri) for each in server.resources)
    return not bound and uri not in server.templates


def taken_back(decision: Decision, *, reason: str, message: str) -> Decision:
    """Return a refusal in the place of an allow.

    The facts stay out of it: by them it would be allowed, and a record that says so could be
    computed again and found wrong.
    """
    return replace(
        decision,
        allow=False,
        reason=reason,
        message=message,
        obligations=(),
        step_up=False,
        basis=b"",
    )
