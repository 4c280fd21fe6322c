"""What types rules expect of arguments, as their annotations say: OPA's own, in comments.

`# METADATA` with `schemas: [{input.arguments.amount: {type: number}}]` before a rule or a package
(https://www.openpolicyagent.org/docs/policy-language#annotations). Only the type is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import yaml

from safeconduct.policy.own_reads import host_reads
from safeconduct.policy.rego import BundleError

if TYPE_CHECKING:
    from safeconduct.policy.inspection import Path
    from safeconduct.policy.rego import Modules

_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_BLOCK = re.compile(r"^#[ \t]*METADATA[ \t]*\n((?:#[^\n]*\n)*)", re.MULTILINE)
_PREFIX = "input.arguments."


def argument_types(modules: Modules) -> dict[Path, str]:
    """Return the type that a host's rules expect, by the path below the arguments.

    Raises:
        BundleError: If an annotation cannot be read, or two of them differ.
    """
    found: dict[Path, str] = {}
    for file, text in modules:
        for path, expected in _annotated(file, text):
            if found.setdefault(path, expected) != expected:
                name = _PREFIX + ".".join(path)
                raise BundleError(f"{file}:1: {name} is annotated as {found[path]} and {expected}")
    return found


def without_type(modules: Modules) -> tuple[str, ...]:
    """Return the arguments that rules read and say no type of, as `input.arguments.NAME`.

    Raises:
        BundleError: If a module or an annotation cannot be read.
    """
    known = argument_types(modules)
    read = host_reads(modules).arguments
    return tuple(sorted(_PREFIX + ".".join(path) for path in read if path and path not in known))


def _annotated(file: str, text: str) -> Iterator[tuple[Path, str]]:
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        body = "\n".join(each.removeprefix("#") for each in block[1].splitlines())
        for name, schema in _schemas(body, f"{file}:{line}"):
            expected = schema.get("type") if isinstance(schema, dict) else None
            if name.startswith(_PREFIX) and expected in _TYPES:
                yield tuple(name.removeprefix(_PREFIX).split(".")), str(expected)


def _schemas(body: str, where: str) -> Iterator[tuple[str, Any]]:
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(body, yaml.SafeLoader)):
            raise BundleError(f"{where}: aliases are not allowed in annotations")
        found = yaml.safe_load(body)
    except yaml.YAMLError as error:
        raise BundleError(f"{where}: this annotation is no YAML") from error
    listed = found.get("schemas", []) if isinstance(found, dict) else []
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, dict):
            yield from ((str(name), schema) for name, schema in each.items())
