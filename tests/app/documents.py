"""Configuration files made from the settings' own model: every key, with every kind of value.

Whoever adds a setting adds nothing here, unless it is a text of a new shape.
"""

from __future__ import annotations

import enum
import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from safeconduct.core.secrets import Secret
from safeconduct.settings import forms
from safeconduct.settings.marks import Range, SecretUrl, Shape, Switch
from safeconduct.settings.model import SettingsFile
from tests.egress.certificates import Authority

SECRET = "correct-horse-battery-staple"
_MOST_AT_ONCE = 64  # combinations of one part; beyond that, one key at a time
_TEXTS: dict[forms.Form, tuple[str, ...]] = {
    forms.email: ("alice@acme.test", "\u00e4@acme.test"),
    forms.name: ("get_thing",),
    forms.host_key: ("acme",),
    forms.server_key: ("tickets",),
    forms.listen: ("127.0.0.1:0", "[::1]:0"),
    forms.target: ("127.0.0.1:9",),
    forms.network: ("10.0.0.0/8", "::1"),
    forms.bypass: ("localhost", ".acme.test", "10.0.0.0/8", "::1"),
    forms.origin: ("http://localhost:8420",),
    forms.url: ("http://127.0.0.1:9/mcp",),
    forms.api_base: ("http://127.0.0.1:9/api",),
    forms.http_request: ("GET /things/{id}",),
    forms.tool_name: ("get_thing",),
    forms.document_url: ("https://agent.example/client.json",),
    forms.git_url: ("file:///nowhere/rules.git",),
    forms.git_branch: ("main",),
    forms.inner_path: ("limits.rego",),
    forms.domain: ("127.0.0.1", "localhost", "mail.invalid"),
    forms.redirect_uri: ("http://localhost/cb", "https://agent.example/cb", "cursor://agent/cb"),
    forms.relation: ("ticket:T-7#assignee@user:alice@acme.test",),
    forms.argument_path: ("arguments.id",),
    forms.object_of_value: ("ticket:{value}",),
    forms.object_of_uri: ("ticket:{id}",),
    forms.uri_template: ("ticket://{id}",),
    forms.permission: ("edit",),
    forms.client_id: ("an-agent",),
    forms.point_id: ("mesh",),
}
_PATHS = {"data_dir": ("state",), "directory": ("rules", "nowhere"), "openapi": ("api.yaml",)}
_PATHS["ca_file"] = ("authority.pem",)
# What a part needs beside what its own model requires.
_BESIDE: dict[str, dict[str, Any]] = {
    "SettingsFile": {"server": {"allow_loopback_upstreams": True, "listen": "127.0.0.1:0"}},
    "HostSettings": {
        "people": [{"email": "alice@acme.test", "groups": ["get_thing"]}],
        "servers": [{"key": "tickets", "url": "http://127.0.0.1:9/mcp"}],
    },
    "ServerSettings": {"allow_loopback_upstreams": True, "listen": "127.0.0.1:0"},
    "UpstreamSettings": {"url": "http://127.0.0.1:9/mcp"},
    "AccessSettings": {"person": "alice@acme.test"},
    "HttpSettings": {"tools": [{"name": "get_thing", "request": "GET /things/{id}"}]},
    "OperatorSettings": {"password": {"env": "A_SECRET"}},
    "ClientDocument": {
        "document": {
            "client_id": "https://agent.example/client.json",
            "client_name": "Agent",
            "redirect_uris": ["https://agent.example/cb"],
        }
    },
}


def documents() -> Iterator[dict[str, Any]]:
    """Yield whole files; not all of them are to be accepted, but all must be judged alike."""
    seen: set[bytes] = set()
    for document in _parts(SettingsFile):
        document.setdefault("hosts", [_least(_kind_of("HostSettings"))])
        spelled = msgspec.json.encode(document, order="deterministic")
        if spelled not in seen:
            seen.add(spelled)
            yield document


def environment() -> dict[str, str]:
    return {"A_SECRET": SECRET}


def lay_out(directory: Path) -> None:
    """Put what a file may name beside it."""
    rules = directory / "rules"
    rules.mkdir()
    (rules / "limits.rego").write_text("package safeconduct.host\n\nimport rego.v1\n")
    api = {"openapi": "3.0.3", "info": {"title": "A", "version": "1"}, "paths": {"/a": {"get": {}}}}
    (directory / "api.yaml").write_bytes(msgspec.json.encode(api))
    (directory / "authority.pem").write_text(_authority(), "ascii")


@functools.cache
def _authority() -> str:
    return Authority(Path()).pem()


def _parts(kind: type[msgspec.Struct]) -> Iterator[dict[str, Any]]:
    """Yield a part of the file as short as may be, with each key, and with all that go together."""
    least = _least(kind)
    yield least
    hints = get_type_hints(kind, include_extras=True)
    values = {
        field.encode_name: [*_values(field.encode_name, hints[field.name])]
        for field in msgspec.structs.fields(kind)
    }
    for name, several in values.items():
        yield from ({**least, name: value} for value in several)
    many = 1
    for several in values.values():
        many *= len(several) + 1
    if many <= _MOST_AT_ONCE * 8:
        left_out = object()
        for chosen in itertools.islice(
            itertools.product(*([*several, left_out] for several in values.values())),
            _MOST_AT_ONCE * 8,
        ):
            both = zip(values, chosen, strict=True)
            yield {name: value for name, value in both if value is not left_out}


def _least(kind: type[msgspec.Struct]) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {
        field.encode_name: next(_values(field.encode_name, hints[field.name]))
        for field in msgspec.structs.fields(kind)
        if field.required
    } | _BESIDE.get(kind.__name__, {})


def _values(name: str, hint: Any, marks: tuple[Any, ...] = ()) -> Iterator[Any]:
    if get_origin(hint) is Annotated:
        yield from _values(name, hint.__origin__, (*marks, *hint.__metadata__))
        return
    found = {type(mark): mark for mark in marks}
    if Shape in found:
        yield from _TEXTS[found[Shape].form]
    elif Switch in found:
        yield from (True, False)
        yield from _of_type(name, hint, found)
    elif SecretUrl not in found:  # another database is no matter of the file
        yield from _of_type(name, hint, found)


def _of_type(name: str, hint: Any, found: dict[type, Any]) -> Iterator[Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        for each in arguments:
            if each is not type(None):
                yield from _values(name, each)
    elif origin is tuple:
        yield from ([value] for value in _values(name, arguments[0]))
        yield []
    elif origin is dict:
        yield from ({"get_thing": value} for value in _values(name, arguments[1]))
        yield {}
    elif origin is Literal:
        yield from arguments
    elif Range in found:
        yield from (found[Range].least, found[Range].most)
    else:
        yield from _simple(name, hint)


def _simple(name: str, hint: Any) -> Iterator[Any]:
    if hint is Secret:
        yield {"env": "A_SECRET"}
    elif hint is bool:
        yield from (True, False)
    elif hint is Path:
        yield from _PATHS[name]
    elif hint is Any:
        yield "anything"
    elif hint is str:
        yield "a text"
    elif issubclass(hint, enum.Enum):
        yield from ("low", "medium", "high")
    else:
        yield from _parts(hint)


def _kind_of(name: str) -> type[msgspec.Struct]:
    from safeconduct.settings import tenants

    kind: type[msgspec.Struct] = getattr(tenants, name)
    return kind
