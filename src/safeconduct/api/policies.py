"""A host's own rules over HTTPS: what decides and what did, and putting other rules.

Programs of the host do this, with the credentials of enforcement points and only as far as each
of them may. Rules are put where the configuration says so; going back is possible everywhere.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from safeconduct import hosts, policy
from safeconduct.api.http import PRIVATE, answer, query_of
from safeconduct.api.managing import Handler, Matter, read_json, read_limit, read_query, refused
from safeconduct.api.offers import (
    MOST_BYTES,
    Files,
    Outcome,
    Overtaken,
    Wish,
    read_bundle,
    read_files,
    read_member,
    read_return,
    read_wish,
    tag_of,
)
from safeconduct.api.questions import JSON
from safeconduct.api.refusals import bad
from safeconduct.api.tuples import instant
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import HostId
from safeconduct.hosts import EnforcementPoint, Host
from safeconduct.policy import PENDING, Bundle, BundleError, Failing, Failure, OwnRules, Signer
from safeconduct.storage import Database, Read

PATH = "/api/v1/policy"
MOST_LISTED = 100
_MOST_FAILURES = 100
_MOST_NUMBER = 2**31 - 1
_PLACE = re.compile(r"(?:host/)?(?P<file>[^:,\n]+):(?:(?P<line>[0-9]+):)? (?P<said>.+)", re.DOTALL)
_POLICY = Matter("policy", lambda point: point.policy)


class Offering(Protocol):
    """Changes what decides for a host, or refuses to."""

    async def put(self, host: HostId, files: Files, wish: Wish) -> Outcome:
        """Let these files decide."""

    async def replace(self, host: HostId, member: str, value: Any, wish: Wish) -> Outcome:
        """Let the same rules decide by other data."""

    async def roll_back(self, host: HostId, bundle: str, wish: Wish) -> Outcome:
        """Let rules decide that the host has had."""


class PolicyEndpoints:
    """The endpoints for a host's rules."""

    def __init__(self, *, database: Database, signer: Signer, offering: Offering) -> None:
        self._database = database
        self._signer = signer
        self._offering = offering
        self._shipped = Bundle.shipped()

    def routes(self) -> list[Route]:
        return [
            _POLICY.route("GET", PATH, self.show),
            _POLICY.route("GET", f"{PATH}/files", self.files),
            _POLICY.route("GET", f"{PATH}/history", self.history),
            _POLICY.route("PUT", PATH, _judging(self.put)),
            _POLICY.route("PATCH", f"{PATH}/data/{{member}}", _judging(self.patch)),
            _POLICY.route("POST", f"{PATH}/rollback", _judging(self.roll_back)),
        ]

    async def show(self, request: Request, host: Host, point: EnforcementPoint) -> Response:
        """Say what decides, since when and by whom, without its text."""
        read_query(query_of(request), ())
        async with self._database.read() as tx:
            policies = (await hosts.find(tx, host.key) or host).policies
            bundle = policies.policy_bundle
            since = await policy.history(tx, host.key, most=1)
            rules, source, problem = await self._held(tx, host.key, bundle)
        said = {
            "bundle": bundle,
            "decides_as": None if problem else rules.upon(self._shipped).digest,
            "problem": problem,
            "since": instant(since[0].at) if since else None,
            "by": since[0].by if since else None,
            "because": since[0].because if since else None,
            "source": source,
            "comes_by": policies.policy_by,
            "files": [_about(name, raw) for name, raw in rules.as_files().items()],
            "shadow": policies.policy_shadow or None,
        }
        return answer(said, headers=PRIVATE | tag_of(bundle))

    async def files(self, request: Request, host: Host, point: EnforcementPoint) -> Response:
        """Return the text of what decides, or of what the host has had."""
        said = read_query(query_of(request), ("bundle",))
        async with self._database.read() as tx:
            now = (await hosts.find(tx, host.key) or host).policies.policy_bundle
            bundle = read_bundle(said["bundle"]) if said else now
            rules, source, problem = await self._held(tx, host.key, bundle)
        if problem:
            code = Code.NOT_FOUND if said else Code.UNAVAILABLE
            raise Refused(code, f"These rules cannot be shown: {problem}.")
        texts = {name: raw.decode() for name, raw in rules.as_files().items()}
        return answer(
            {"bundle": bundle, "source": source, "files": texts}, headers=PRIVATE | tag_of(bundle)
        )

    async def history(self, request: Request, host: Host, point: EnforcementPoint) -> Response:
        """List what decided when, the newest first."""
        said = read_query(query_of(request), ("limit", "token"))
        limit, before = read_limit(said, most=MOST_LISTED), _number(said.get("token", ""))
        async with self._database.read() as tx:
            found = await policy.history(tx, host.key, before=before, most=limit + 1)
        page = found[:limit]
        token = str(page[-1].number) if len(found) > limit else ""
        listed = [
            {"bundle": each.digest}
            | {
                name: getattr(each, name)
                for name in ("previous", "decides_as", "kind", "by", "because")
            }
            | {"at": instant(each.at)}
            for each in page
        ]
        return answer({"history": listed, "page": {"next_token": token, "count": len(page)}})

    async def put(self, request: Request, host: Host, point: EnforcementPoint) -> Response:
        """Let other files decide, all of them at once."""
        body = await read_json(request, most_bytes=MOST_BYTES)
        files = read_files(body, everything=bool(host.policies.policy_keys))
        wish = _wish(request, body, point)
        return _done(await self._offering.put(host.key, files, wish), wish)

    async def patch(self, request: Request, host: Host, point: EnforcementPoint) -> Response:
        """Replace one member of the data, and nothing else."""
        body = await read_json(request, most_bytes=MOST_BYTES)
        member = request.path_params["member"]
        value, wish = read_member(body, member), _wish(request, body, point)
        return _done(await self._offering.replace(host.key, member, value, wish), wish)

    async def roll_back(self, request: Request, host: Host, point: EnforcementPoint) -> Response:
        """Let rules decide again."""
        body = await read_json(request, most_bytes=MOST_BYTES)
        bundle, wish = read_return(body), _wish(request, body, point, checks=False)
        return _done(await self._offering.roll_back(host.key, bundle, wish), wish)

    async def _held(self, tx: Read, host: HostId, bundle: str) -> tuple[OwnRules, str, str]:
        """Return the rules of a bundle, where they came from, and what is wrong with them."""
        if bundle == PENDING:
            return OwnRules(), "", "no rules have come yet, and nothing is allowed"
        if not bundle:
            return OwnRules(), "", ""
        try:
            stored = await policy.load(tx, host, bundle, signer=self._signer)
        except BundleError as error:
            return OwnRules(), "", error.public
        return stored.rules, stored.source, ""


def _wish(request: Request, body: JSON, point: EnforcementPoint, *, checks: bool = True) -> Wish:
    query, by = query_of(request), f"enforcement point {point.id}"
    return read_wish(body, request.headers, query, by=by, checks=checks)


def _done(outcome: Outcome, wish: Wish) -> Response:
    now = outcome.before if wish.check else outcome.bundle
    return answer(msgspec.to_builtins(outcome), headers=PRIVATE | tag_of(now))


def _judging(handler: Handler) -> Handler:
    """Say what is wrong with rules one by one, and that others were faster."""

    async def respond(request: Request, host: Host, point: EnforcementPoint) -> Response:
        try:
            return await handler(request, host, point)
        except Overtaken as error:
            return refused(error, host, status=412)
        except BundleError as error:
            found = error.failures if isinstance(error, Failing) else ()
            failures = found or (Failure(test="", message=error.public),)
            return refused(
                error,
                host,
                more={"failures": [_failure(each) for each in failures[:_MOST_FAILURES]]},
            )

    return respond


def _failure(found: Failure) -> JSON:
    place = _PLACE.fullmatch(found.message)
    line = place["line"] if place else None
    return {
        "file": place["file"] if place else None,
        "line": None if line is None else int(line),
        "test": found.test or None,
        "message": place["said"] if place else found.message,
    }


def _about(name: str, raw: bytes) -> JSON:
    return {"name": name, "bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


def _number(token: str) -> int | None:
    if not token:
        return None
    if not (token.isascii() and token.isdigit() and len(token) <= len(str(_MOST_NUMBER))):
        raise bad("token is not of this listing; begin again without it.")
    return min(int(token), _MOST_NUMBER)
