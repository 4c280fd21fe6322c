"""What a host adds to the built-in rules, as one value with one spelling and one name.

The spelling is canonical JSON and the name is SHA-256 over it, so a bundle is its content:
whoever has the name can tell whether these are the bytes that were meant.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any

import msgspec

from safeconduct.core.canonical import StrictJSONError, canonical_bytes, parse
from safeconduct.core.model import Value
from safeconduct.policy.bundle import OWN, Bundle
from safeconduct.policy.rego import BundleError, Modules


class OwnRules(Value, frozen=True, dict=True):
    """A host's own part of a bundle.

    Attributes:
        modules: What decides as (path, text), with the one that collects what the others say.
        tests: `*_test.rego`; they decide nothing.
        scenarios: `*.scenario.yaml`; neither do they.
        data: The document rules read below `data`.
        schema: The host's own definitions of types and permissions.
    """

    modules: Modules = ()
    tests: Modules = ()
    data: dict[str, Any] = {}
    schema: str = ""
    scenarios: Modules = ()

    @classmethod
    def of(cls, bundle: Bundle, shipped: Bundle) -> OwnRules:
        """Take from a bundle what is not built in."""
        built_in = set(shipped.modules)
        return cls(
            modules=tuple(module for module in bundle.modules if module not in built_in),
            tests=tuple(test for test in bundle.tests if test[0].startswith(OWN)),
            data=bundle.data,
            schema=bundle.schema,
            scenarios=bundle.scenarios,
        )

    @classmethod
    def read(cls, content: bytes) -> OwnRules:
        """Read what `content` wrote.

        Raises:
            BundleError: If it is anything else.
        """
        try:
            return msgspec.convert(parse(content), cls)
        except (StrictJSONError, msgspec.ValidationError) as error:
            raise BundleError("this is no bundle") from error

    @cached_property
    def content(self) -> bytes:
        """The one spelling."""
        return canonical_bytes(
            {
                "modules": self.modules,
                "tests": self.tests,
                "data": self.data,
                "schema": self.schema,
                "scenarios": self.scenarios,
            }
        )

    @cached_property
    def digest(self) -> str:
        """Return the name: SHA-256 of the content in hex, or "" when nothing is added."""
        return named(self.content) if self != OwnRules() else ""

    def upon(self, shipped: Bundle) -> Bundle:
        """Put the bundle together that decides: the built-in rules and these."""
        return Bundle.of(
            modules=tuple({**dict(shipped.modules), **dict(self.modules)}.items()),
            data={**shipped.data, **self.data},
            schema=self.schema,
            tests=(*shipped.tests, *self.tests),
            scenarios=self.scenarios,
        )

    @property
    def files(self) -> dict[str, str]:
        """What its author wrote, by path, for telling what became different."""
        written = {path: text for path, text in self.modules if path.startswith(OWN)}
        written |= dict(self.tests) | dict(self.scenarios)
        if self.data:
            written[f"{OWN}data"] = canonical_bytes(self.data).decode()
        if self.schema:
            written[f"{OWN}schema"] = self.schema
        return written

    def as_files(self) -> dict[str, bytes]:
        """Return a directory that makes these rules again.

        What is kept of the data and of the definitions is what they say, so each is one file.
        """
        found = {path.removeprefix(OWN): text for path, text in self.files.items()}
        for held, name in (("data", "data.json"), ("schema", "schema.zed")):
            if held in found:
                found[name] = found.pop(held)
        return {name: text.encode() for name, text in sorted(found.items())}


def named(content: bytes) -> str:
    """Return the name of a content."""
    return hashlib.sha256(content).hexdigest()
