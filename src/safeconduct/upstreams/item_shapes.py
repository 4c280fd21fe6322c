"""What the protocol's schema allows of a list's items, as far as clients hold to it.

A client that reads a list by the schema loses all of it for one item that does not fit, so such
an item is left out like one that cannot be read. Members that may be left out may be null, and
what the schema does not name is free.

Source: MCP 2026-07-28 and 2025-11-25, schema: Tool, Prompt, Resource, ResourceTemplate.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

_LONGEST_REASON = 200


class _Schema(msgspec.Struct):
    type: Literal["object"]
    properties: dict[str, Any] | None = None
    required: list[str] | None = None


class _Icon(msgspec.Struct, rename="camel"):
    src: str
    mime_type: str | None = None
    sizes: list[str] | None = None
    theme: Literal["light", "dark"] | None = None


class _Shown(msgspec.Struct, rename="camel"):
    """The members that all items have in common."""

    name: str
    title: str | None = None
    description: str | None = None
    icons: list[_Icon] | None = None
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


class _Hints(msgspec.Struct, rename="camel"):
    title: str | None = None
    read_only_hint: bool | None = None
    destructive_hint: bool | None = None
    idempotent_hint: bool | None = None
    open_world_hint: bool | None = None


class _Execution(msgspec.Struct, rename="camel"):
    task_support: Literal["forbidden", "optional", "required"] | None = None


class _Tool(_Shown, kw_only=True, rename="camel"):
    input_schema: _Schema
    output_schema: dict[str, Any] | None = None
    annotations: _Hints | None = None
    execution: _Execution | None = None


class _Argument(msgspec.Struct):
    name: str
    title: str | None = None
    description: str | None = None
    required: bool | None = None


class _Prompt(_Shown, rename="camel"):
    arguments: list[_Argument] | None = None


class _Annotations(msgspec.Struct, rename="camel"):
    audience: list[Literal["user", "assistant"]] | None = None
    priority: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    last_modified: str | None = None


class _Resource(_Shown, kw_only=True, rename="camel"):
    uri: str
    mime_type: str | None = None
    size: Annotated[float, msgspec.Meta(multiple_of=1)] | None = None
    annotations: _Annotations | None = None


class _Template(_Shown, kw_only=True, rename="camel"):
    uri_template: str
    mime_type: str | None = None
    annotations: _Annotations | None = None


_SHAPES: dict[str, type[msgspec.Struct]] = {
    "tools": _Tool,
    "prompts": _Prompt,
    "resources": _Resource,
    "resourceTemplates": _Template,
}


def misshape(definition: dict[str, Any], listing: str) -> str:
    """Say what the schema does not allow of an item, as a clause, or nothing."""
    try:
        msgspec.convert(definition, _SHAPES[listing])
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        member = where.strip(".`") or "definition"
        return f"the protocol's schema does not allow its {member}: {what}"[:_LONGEST_REASON]
    return ""
