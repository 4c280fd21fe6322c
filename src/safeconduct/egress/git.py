"""Reads one branch of a git repository with the system's `git`; nothing is ever checked out.

Files come straight from the objects of a commit, so no hook, filter, submodule or symbolic link
has a say. Every command is bounded in time, output, and size of what it writes; it gets none of
our environment but what reaching a server needs, and no configuration of the machine's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from safeconduct.core.encoding import to_base64
from safeconduct.core.errors import Code, GatewayError
from safeconduct.core.secrets import Secret

_OUTPUT_BYTES = 1024 * 1024
_COMPLAINT_BYTES = 4096
_BLOCK = 512  # what POSIX `ulimit -f` counts in
_MEMORY_KIBIBYTES = 4 * 1024 * 1024
_COMMIT = re.compile(rb"[0-9a-f]{40}([0-9a-f]{24})?")
_ENTRY = re.compile(rb"(\d{6}) (\w+) ([0-9a-f]{40,64}) +(\d+|-)\t(.+)", re.DOTALL)
_LINK, _SUBMODULE = b"120000", b"160000"
_PASSED_ON = (
    *("PATH", "HOME", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"),
    *("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"),
)
_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.symlinks": "false",
    "core.bigFileThreshold": "1m",
    "credential.helper": "",
    "fetch.unpackLimit": "1",  # one pack, so that its size is the size of all
    "gc.auto": "0",
    "http.followRedirects": "false",  # or a token would go where the server says
    "submodule.recurse": "false",
    "protocol.version": "2",
}


class GitFailed(GatewayError):
    """The repository cannot be read; the message says why, without what it was read with."""

    code = Code.UPSTREAM_FAILED


class GitLimits(NamedTuple):
    """What one look may cost."""

    seconds: float = 60.0
    pack_bytes: int = 64 * 1024 * 1024
    files: int = 1000
    files_bytes: int = 4 * 1024 * 1024


class GitCommit(NamedTuple):
    """A commit, and the files that were asked for by their paths."""

    id: str
    author: str
    files: dict[str, bytes]


class GitBranch:
    """One branch of one repository."""

    def __init__(
        self,
        url: str,
        branch: str,
        *,
        directory: str = ".",
        token: Secret | None = None,
        loopback: bool = False,
        limits: GitLimits | None = None,
        way: Mapping[str, str] | None = None,
    ) -> None:
        """Take what was checked when the configuration was read.

        Args:
            url: `https://` or `ssh://`; with `loopback` also `file://` and `http://`.
            branch: Its name.
            directory: Where in the repository the files are; "." is the top.
            token: Sent as basic credentials over https.
            loopback: Whether repositories of this machine may be read.
            limits: What a look may cost.
            way: Variables that say how to reach it, in place of our own: proxy and authorities.
        """
        if url.startswith("-") or branch.startswith("-") or directory.startswith("-"):
            raise ValueError("git would take this for an option")
        self._url = url
        self._ref = f"refs/heads/{branch}"
        self._branch = branch
        self._directory = directory
        self._limits = limits or GitLimits()
        self._environment = _environment(token, loopback=loopback) | dict(way or {})

    async def head(self) -> str:
        """Return the id of the newest commit.

        Raises:
            GitFailed: If the repository does not answer, or has no such branch.
        """
        asked = ("ls-remote", "--exit-code", "--refs", "--", self._url, self._ref)
        try:
            said = await self._git(*asked)
        except _Exited as error:
            if error.status == 2:
                raise GitFailed(f"the repository has no branch {self._branch}") from None
            raise self._unreadable(error) from None
        commit = said.partition(b"\t")[0]
        if not _COMMIT.fullmatch(commit):
            raise GitFailed("the repository gave no answer that git understands")
        return commit.decode()

    async def read(self, scratch: Path, *, wanted: Callable[[str], bool]) -> GitCommit:
        """Fetch the newest commit, alone, and read its files.

        Args:
            scratch: An existing directory; what is fetched is gone afterwards.
            wanted: Which paths, from the directory inside, are read at all.

        Raises:
            GitFailed: If it cannot be read, is too large, or holds links or submodules.
        """
        with tempfile.TemporaryDirectory(dir=scratch, prefix="git-") as place:
            here = ("-C", place)
            try:
                await self._git("init", "--quiet", "--bare", "--template=", "--", place)
                await self._git(
                    *here,
                    *("fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules"),
                    *("--", self._url, f"+{self._ref}:refs/heads/fetched"),
                )
                shown = await self._git(
                    *here, "log", "-1", "--format=%H%n%ae", "refs/heads/fetched"
                )
                commit, _, author = shown.decode("utf-8", "replace").strip().partition("\n")
                files = await self._files(here, commit, wanted)
            except _Exited as error:
                raise self._unreadable(error) from None
        return GitCommit(id=commit, author=author[:200], files=files)

    async def _files(
        self, here: tuple[str, str], commit: str, wanted: Callable[[str], bool]
    ) -> dict[str, bytes]:
        tree = commit if self._directory == "." else f"{commit}:{self._directory}"
        try:
            listed = await self._git(*here, "ls-tree", "-r", "-z", "-l", "--full-tree", tree)
        except _Exited:
            raise GitFailed(f"the commit has no directory {self._directory}") from None
        blobs = self._blobs(listed, wanted)
        if not blobs:
            return {}
        ids = b"".join(each + b"\n" for each in blobs.values())
        most = self._limits.files_bytes + 128 * len(blobs)
        batch = await self._git(*here, "cat-file", "--batch", said=ids, most=most)
        return dict(zip(blobs, _contents(batch, len(blobs)), strict=True))

    def _blobs(self, listed: bytes, wanted: Callable[[str], bool]) -> dict[str, bytes]:
        """Return what is to be read: ids of objects by path."""
        found: dict[str, bytes] = {}
        size = 0
        for line in listed.split(b"\0")[:-1]:
            entry = _ENTRY.fullmatch(line)
            if entry is None:
                raise GitFailed("the commit holds something that git lists strangely")
            try:
                path = entry[5].decode("utf-8")
            except UnicodeDecodeError:
                raise GitFailed("the commit holds a name that is not UTF-8") from None
            if entry[1] == _LINK:
                raise GitFailed(f"{path} is a symbolic link, which is not followed; remove it")
            if entry[1] == _SUBMODULE:
                raise GitFailed(f"{path} is a submodule, which is not fetched; remove it")
            if not wanted(path):
                continue
            found[path] = entry[3]
            size += int(entry[4])
            if len(found) > self._limits.files or size > self._limits.files_bytes:
                raise GitFailed(
                    f"the commit has more than {self._limits.files} files or "
                    f"{self._limits.files_bytes} bytes of them"
                )
        return found

    def _unreadable(self, error: _Exited) -> GitFailed:
        if error.status in {-signal.SIGXFSZ, 128 + signal.SIGXFSZ} or "too large" in error.said:
            return GitFailed(f"the repository has more than {self._limits.pack_bytes} bytes")
        fatal = [line for line in error.said.splitlines() if line.startswith("fatal: ")]
        said = (fatal or [""])[-1].removeprefix("fatal: ").replace(self._url, "the repository")
        printable = "".join(each if each.isprintable() else "\ufffd" for each in said)[:200]
        return GitFailed(f"the repository cannot be read: {printable or 'git gave no reason'}")

    async def _git(self, *arguments: str, said: bytes = b"", most: int = _OUTPUT_BYTES) -> bytes:
        """Run git once; returns what it printed.

        Raises:
            _Exited: If git failed.
            GitFailed: If it took too long or said too much.
        """
        child = await asyncio.create_subprocess_exec(
            *("sh", "-c", 'ulimit -f "$1"; ulimit -v "$2"; shift 2; exec git "$@"', "sh"),
            *(str(self._limits.pack_bytes // _BLOCK), str(_MEMORY_KIBIBYTES)),
            *arguments,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE if said else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._limits.seconds):
                printed, complaint, _ = await asyncio.gather(
                    _bounded(child.stdout, most), _beginning(child.stderr), _told(child.stdin, said)
                )
                status = await child.wait()
        except BaseException as error:
            # git starts others; all of them end with it. There is still one of the group, or
            # nothing would have kept us, so its number is nobody else's.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
            if isinstance(error, TimeoutError):
                raise GitFailed(
                    f"the repository did not answer within {self._limits.seconds:g} seconds"
                ) from None
            raise
        if status:
            raise _Exited(status, complaint.decode("utf-8", "replace"))
        return printed


class _Exited(Exception):
    """Git failed, and complained."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(status)
        self.status = status
        self.said = said


def _environment(token: Secret | None, *, loopback: bool) -> dict[str, str]:
    settings = dict(_SETTINGS)
    if token is not None:
        credentials = to_base64(f"x-access-token:{token.reveal()}".encode())
        settings["http.extraHeader"] = f"Authorization: Basic {credentials}"
    numbered = {"GIT_CONFIG_COUNT": str(len(settings))}
    for index, (name, value) in enumerate(settings.items()):
        numbered |= {f"GIT_CONFIG_KEY_{index}": name, f"GIT_CONFIG_VALUE_{index}": value}
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {
        "LC_ALL": "C",
        "GIT_ALLOW_PROTOCOL": "https:ssh:http:file" if loopback else "https:ssh",
        "GIT_ASKPASS": "",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oStrictHostKeyChecking=yes -oConnectTimeout=20",
        "GIT_TERMINAL_PROMPT": "0",
        "SSH_ASKPASS_REQUIRE": "never",
        **numbered,
    }


async def _bounded(stream: asyncio.StreamReader | None, most: int) -> bytes:
    assert stream is not None
    found = bytearray()
    while chunk := await stream.read(64 * 1024):
        found += chunk
        if len(found) > most:
            raise GitFailed(f"git said more than {most} bytes")
    return bytes(found)


async def _beginning(stream: asyncio.StreamReader | None) -> bytes:
    """Read all, keep the beginning: whoever complains must not be held up by us."""
    assert stream is not None
    kept = bytearray()
    while chunk := await stream.read(_COMPLAINT_BYTES):
        kept += chunk[: _COMPLAINT_BYTES - len(kept)]
    return bytes(kept)


async def _told(stream: asyncio.StreamWriter | None, said: bytes) -> None:
    if stream is None:
        return
    # A child that ended before it was told has said why; uvloop calls its pipe "closed".
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, RuntimeError):
        stream.write(said)
        await stream.drain()
        stream.close()


def _contents(batch: bytes, count: int) -> list[bytes]:
    """Take the answer of `cat-file --batch` apart: a line of `id type size`, then the bytes."""
    found = []
    for _ in range(count):
        head, _, batch = batch.partition(b"\n")
        words = head.split(b" ")
        if len(words) != 3 or words[1] != b"blob":
            raise GitFailed("the commit lacks one of its files")
        size = int(words[2])
        found.append(batch[:size])
        batch = batch[size + 1 :]
    return found
