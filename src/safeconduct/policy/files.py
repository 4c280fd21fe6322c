"""The files of a policy directory, read once: what is judged, signed and stored is the same bytes.

Names that begin with a dot are no part of it (`.git`, a ConfigMap's `..data`), except for the
signatures. A symbolic link may lead to another file of the directory and nowhere else.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path, PurePosixPath

from safeconduct.policy.rego import BundleError

SIGNATURES = ".signatures.json"
SCENARIO = ".scenario.yaml"
DATA_NAMES = ("data.json", "data.yaml", "data.yml")
MAX_READ_FILES = 1000
MAX_READ_BYTES = 4 * 1024 * 1024

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./ -]{0,199}")

Files = Mapping[str, bytes]


def belongs(path: str) -> bool:
    """Tell whether a file could be part of the rules, by its path inside the directory."""
    if path == SIGNATURES:
        return True
    return not any(part.startswith(".") for part in PurePosixPath(path).parts)


def counts(path: str) -> bool:
    """Tell whether a file has a meaning: rules, their tests, definitions, data or signatures."""
    known = path.endswith((".rego", ".zed", SCENARIO)) or path in DATA_NAMES or path == SIGNATURES
    return known and belongs(path)


def is_plain(path: str) -> bool:
    """Tell whether a path that somebody sent may name a file: ASCII, and inside wherever it is."""
    if path == SIGNATURES:
        return True
    return _PLAIN.fullmatch(path) is not None and not any(
        part in {"", "."} or part.startswith(".") for part in path.split("/")
    )


def without(files: Files, off: Iterable[str]) -> Files:
    """Leave out the files that are switched off.

    Raises:
        BundleError: If one of them is not there: whoever wrote that believes it has an effect.
    """
    known = [path for path in files if counts(path) and path != SIGNATURES]
    left_out = set(off)
    for path in sorted(left_out.difference(known)):
        near = get_close_matches(path, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise BundleError(f"{path} is switched off by policy.off and is not there{hint}")
    return {path: raw for path, raw in files.items() if path not in left_out}


def read_files(directory: Path, *, everything: bool = False) -> dict[str, bytes]:
    """Read a directory, bounded in number and size.

    Args:
        directory: Where the rules are.
        everything: Also read what has no meaning here: a signature covers it.

    Raises:
        BundleError: If it is not there, cannot be read, or is too large.
    """
    if not directory.is_dir():
        raise BundleError(f"there is no policy directory {directory.name}")
    root = directory.resolve()
    wanted = belongs if everything else counts
    found: dict[str, bytes] = {}
    left = MAX_READ_BYTES
    for path in _paths(directory):
        if not wanted(path):
            continue
        if len(found) == MAX_READ_FILES:
            raise BundleError(f"more than {MAX_READ_FILES} files")
        found[path] = raw = _read(root, path, left)
        left -= len(raw)
    return found


def unread_files(directory: Path) -> Iterator[str]:
    """Yield the files that look like data or scenarios and have no meaning where they are."""
    for path in _paths(directory):
        if path.endswith((".yaml", ".yml", ".json")) and belongs(path) and not counts(path):
            yield path


def _paths(directory: Path) -> Iterator[str]:
    """Yield the paths of files, sorted; directories behind links are not looked into."""
    found = []
    for place, inner, names in os.walk(directory):
        inner[:] = [name for name in inner if not name.startswith(".")]
        found += [(Path(place) / name).relative_to(directory).as_posix() for name in names]
    yield from sorted(found)


def _read(root: Path, path: str, most: int) -> bytes:
    try:
        real = (root / path).resolve(strict=True)
        if not real.is_relative_to(root):
            raise BundleError(f"{path}: leads out of the policy directory")
        handle = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as opened:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise BundleError(f"{path}: is no regular file")
            raw = opened.read(most + 1)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read") from error
    if len(raw) > most:
        raise BundleError(f"the policy directory has more than {MAX_READ_BYTES} bytes")
    return raw
