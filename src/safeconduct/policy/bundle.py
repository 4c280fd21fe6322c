"""The rules and data that decide: content-addressed, so a decision can name what made it.

The built-in rules come with the program; a host adds a directory of its own modules, which
live in package `safeconduct.host` or below and can only refuse. Tests (`*_test.rego`) travel
along for the checks and never decide.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from safeconduct.core.canonical import StrictJSONError, canonical_bytes, parse
from safeconduct.core.model import Value
from safeconduct.policy.data import known_data
from safeconduct.policy.exactness import exact
from safeconduct.policy.files import DATA_NAMES, SCENARIO, Files, read_files
from safeconduct.policy.members import MEMBERS
from safeconduct.policy.rego import BundleError, Modules, interpreter
from safeconduct.policy.vetting import extension, judged_elsewhere
from safeconduct.relations import SchemaError, check_kept, host_schema

if TYPE_CHECKING:
    import regorus

MAX_FILES = 128
MAX_FILE_BYTES = 64 * 1024
MAX_TOTAL_BYTES = 256 * 1024
MAX_DATA_BYTES = 1024 * 1024
OWN = "host/"
_EXTENSIONS = "extensions.rego"


class Bundle(Value, frozen=True):
    """Modules as (path, text), data, and the digest over both.

    Attributes:
        modules: What decides, sorted by path.
        data: The document rules read below `data`.
        digest: SHA-256 in hex over paths, texts, canonical data and schema; tests do not count.
        schema: The host's own definitions of types and permissions, all files in order.
        tests: `*_test.rego`, sorted by path.
        scenarios: `*.scenario.yaml`, sorted by path.
    """

    modules: Modules
    data: dict[str, Any]
    digest: str
    schema: str = ""
    tests: Modules = ()
    scenarios: Modules = ()

    @property
    def has_own_rules(self) -> bool:
        """Whether a host has added modules of its own."""
        return bool(self.own_modules)

    @property
    def own_modules(self) -> Modules:
        """The modules that a host has added."""
        return tuple(each for each in self.modules if each[0].startswith(OWN))

    @property
    def obliges(self) -> bool:
        """Whether the host's own rules define obligations."""
        extensions = dict(self.modules).get(_EXTENSIONS, "")
        return "obligations contains" in extensions

    def interpreter(self) -> regorus.Engine:
        """Load rules and tests into the interpreter, spelled as they are when they decide.

        Raises:
            BundleError: If a module is not Rego.
        """
        return interpreter((*exact((*self.modules, *self.tests)), MEMBERS), self.data)

    @classmethod
    def of(
        cls,
        *,
        modules: Modules,
        data: dict[str, Any],
        schema: str = "",
        tests: Modules = (),
        scenarios: Modules = (),
    ) -> Bundle:
        """Put a bundle together and name it by its content."""
        ordered = tuple(sorted(modules))
        content = hashlib.sha256(canonical_bytes([ordered, data, schema])).hexdigest()
        return cls(
            modules=ordered,
            data=data,
            digest=content,
            schema=schema,
            tests=tuple(sorted(tests)),
            scenarios=tuple(sorted(scenarios)),
        )

    @classmethod
    def shipped(cls) -> Bundle:
        """Return the built-in rules, from the installed package or from a checkout."""
        modules, tests = _rego_files(read_files(_shipped_directory()), prefix="")
        return cls.of(modules=modules, data={}, tests=tests)

    def with_directory(self, path: Path) -> Bundle:
        """Add what a directory holds, see `with_files`."""
        return self.with_files(read_files(path))

    def with_files(self, files: Files) -> Bundle:
        """Add a host's own modules and its data.json or data.yaml, once.

        Starts a process to judge the modules, so it takes a fraction of a second: for
        start-up and configuration changes, not for calls.

        Raises:
            BundleError: If anything there cannot be used.
        """
        if any(name == _EXTENSIONS for name, _ in self.modules):
            raise BundleError("this bundle has a host's rules already")
        modules, tests = _rego_files(files, prefix=OWN)
        data = {**self.data, **_data(files)}
        known_data(data)
        packages = judged_elsewhere(self.modules, modules, data) if modules else {}
        return self.of(
            modules=(*self.modules, *modules, (_EXTENSIONS, extension(packages))),
            data=data,
            schema=_schema(files),
            tests=(*self.tests, *tests),
            scenarios=_scenarios(files),
        )


def _shipped_directory() -> Path:
    here = Path(__file__).resolve()
    for candidate in (here.parent / "rules", here.parents[3] / "policies"):
        if candidate.is_dir():
            return candidate
    raise BundleError("the built-in rules are missing from this installation")


def _rego_files(files: Files, *, prefix: str) -> tuple[Modules, Modules]:
    """Pick every *.rego: those that decide, and the tests."""
    names = sorted(name for name in files if name.endswith(".rego"))
    if len(names) > MAX_FILES:
        raise BundleError(f"more than {MAX_FILES} policy files")
    texts = [(prefix + name, _text(files, name, MAX_FILE_BYTES)) for name in names]
    if sum(len(text) for _, text in texts) > MAX_TOTAL_BYTES:
        raise BundleError(f"the policy files have more than {MAX_TOTAL_BYTES} characters")
    tests = tuple(each for each in texts if each[0].endswith("_test.rego"))
    return tuple(each for each in texts if each not in tests), tests


def _scenarios(files: Files) -> Modules:
    names = sorted(name for name in files if name.endswith(SCENARIO))
    if len(names) > MAX_FILES:
        raise BundleError(f"more than {MAX_FILES} scenario files")
    return tuple((OWN + name, _text(files, name, MAX_FILE_BYTES)) for name in names)


def _schema(files: Files) -> str:
    """Put the definitions of types and permissions together, every *.zed.

    Raises:
        BundleError: If they cannot be used together with the ones every host has.
    """
    names = sorted(name for name in files if name.endswith(".zed"))
    if len(names) > MAX_FILES:
        raise BundleError(f"more than {MAX_FILES} schema files")
    text = "\n".join(_text(files, name, MAX_FILE_BYTES) for name in names)
    try:
        host_schema(text)
        check_kept(text)
    except SchemaError as error:
        raise BundleError(f"{', '.join(names)}: {error.public}") from error
    return text


def _text(files: Files, name: str, limit: int) -> str:
    raw = files[name]
    if len(raw) > limit:
        raise BundleError(f"{name}: more than {limit} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(f"{name}: cannot be read as UTF-8 text") from error


def _data(files: Files) -> dict[str, Any]:
    """Read the one data file, if there is one."""
    found = [name for name in DATA_NAMES if name in files]
    if not found:
        return {}
    if len(found) > 1:
        raise BundleError(f"{found[0]} and {found[1]}: keep one of them")
    data = _parsed(found[0], _text(files, found[0], MAX_DATA_BYTES))
    if not isinstance(data, dict):
        raise BundleError(f"{found[0]}: the data must be an object")
    if "safeconduct" in data:
        raise BundleError(f"{found[0]}: the name safeconduct belongs to the rules")
    return data


def _parsed(name: str, text: str) -> object:
    try:
        if name.endswith(".json"):
            return parse(text.encode())
        # An alias repeats what it names; a few of them in a row become gigabytes.
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) and event.start_mark:
                line = event.start_mark.line + 1
                raise BundleError(f"{name}:{line}: aliases are not allowed")
        return parse(canonical_bytes(yaml.safe_load(text)))
    except StrictJSONError as error:
        raise BundleError(f"{name}: {error}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BundleError(f"{name}:{line}: {error.problem}") from error
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise BundleError(f"{name}: holds something that is not JSON") from error
