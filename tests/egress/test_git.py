"""Reading a branch: the files of its newest commit, and nothing a repository could do to us."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from safeconduct.core.secrets import Secret
from safeconduct.egress import GitBranch, GitFailed, GitLimits
from tests.fixtures.repositories import Repository

FILES: dict[str, str | bytes | None] = {"x.rego": "x", "sub/y.rego": "ü\n\n", "big.bin": b"\0" * 99}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository")
    made.commit(FILES)
    return made


def branch_of(repository: Repository, name: str = "main", **more: Any) -> GitBranch:
    return GitBranch(repository.url, name, loopback=True, **more)


async def read(branch: GitBranch, scratch: Path) -> dict[str, bytes]:
    return (await branch.read(scratch, wanted=lambda path: path.endswith(".rego"))).files


@pytest.mark.requirement("D-11")
async def test_the_files_of_the_newest_commit_are_read_and_nothing_stays_behind(
    repository: Repository, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    branch = branch_of(repository)

    first = await branch.read(scratch, wanted=lambda path: path.endswith(".rego"))
    assert first.files == {"x.rego": b"x", "sub/y.rego": "ü\n\n".encode()}
    assert (first.id, first.author) == (await branch.head(), "ada@acme.test")
    second = repository.commit({"x.rego": "z", "sub/y.rego": None})
    assert await branch.head() == second
    assert await read(branch, scratch) == {"x.rego": b"z"}
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
async def test_each_environment_is_a_branch_and_rules_may_lie_deeper(
    repository: Repository, tmp_path: Path
) -> None:
    repository.git("checkout", "--quiet", "-b", "env/production")
    repository.commit({"x.rego": "production"})

    assert (await read(branch_of(repository, "env/production"), tmp_path))["x.rego"] == (
        b"production"
    )
    assert (await read(branch_of(repository), tmp_path))["x.rego"] == b"x"
    deeper = branch_of(repository, directory="sub")
    assert list(await read(deeper, tmp_path)) == ["y.rego"]
    with pytest.raises(GitFailed, match="has no directory none"):
        await read(branch_of(repository, directory="none"), tmp_path)


async def test_a_branch_or_repository_that_is_not_there_is_named(
    repository: Repository, tmp_path: Path
) -> None:
    with pytest.raises(GitFailed, match="has no branch mian"):
        await branch_of(repository, "mian").head()
    repository.git("tag", "release")
    with pytest.raises(GitFailed, match="has no branch release"):
        await branch_of(repository, "release").head()
    gone = GitBranch(f"file://{tmp_path}/gone", "main", loopback=True)
    for look in (gone.head(), read(gone, tmp_path)):
        with pytest.raises(GitFailed, match="the repository cannot be read: ") as refused:
            await look
        assert "gone" not in refused.value.public.replace("the repository", "")


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "x.rego"])
async def test_a_symbolic_link_is_refused_wherever_it_leads(
    repository: Repository, tmp_path: Path, target: str
) -> None:
    (repository.path / "link.rego").symlink_to(target)
    repository.commit_all()

    with pytest.raises(GitFailed, match=r"link\.rego is a symbolic link"):
        await read(branch_of(repository), tmp_path)


async def test_a_submodule_is_refused(repository: Repository, tmp_path: Path) -> None:
    commit = repository.git("rev-parse", "HEAD")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},inner")
    repository.git("commit", "--quiet", "--message=A submodule")

    with pytest.raises(GitFailed, match="inner is a submodule"):
        await read(branch_of(repository), tmp_path)


@pytest.mark.slow
async def test_a_repository_beyond_the_limits_is_refused(
    repository: Repository, tmp_path: Path
) -> None:
    repository.commit({"noise.bin": random.Random(1).randbytes(3_000_000)})

    small = branch_of(repository, limits=GitLimits(pack_bytes=1_000_000))
    with pytest.raises(GitFailed):
        await read(small, tmp_path)
    assert set(await read(branch_of(repository), tmp_path)) == {"x.rego", "sub/y.rego"}
    for limits in (GitLimits(files=1), GitLimits(files_bytes=4)):
        with pytest.raises(GitFailed, match="the commit has more than"):
            await read(branch_of(repository, limits=limits), tmp_path)
    assert not list(tmp_path.glob("git-*"))


async def test_nothing_in_a_repository_is_run(repository: Repository, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    for hook in ("post-checkout", "reference-transaction", "post-update", "pre-push"):
        path = repository.path / ".git" / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\ntouch {mark}\n")
        path.chmod(0o755)
    repository.commit({".gitattributes": "*.rego filter=evil\n"})
    mark.unlink(missing_ok=True)

    await read(branch_of(repository), tmp_path)

    assert not mark.exists()


@asynccontextmanager
async def silent() -> AsyncIterator[tuple[int, list[bytes]]]:
    """Listen, and never answer."""
    heard: list[bytes] = []

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()


async def test_a_repository_that_hangs_is_given_up_with_everything_it_started() -> None:
    async with silent() as (port, heard):
        url = f"http://127.0.0.1:{port}/r.git"
        branch = GitBranch(url, "main", loopback=True, limits=GitLimits(seconds=1.5))
        before = time.monotonic()

        with pytest.raises(GitFailed, match=r"did not answer within 1\.5 seconds"):
            await branch.head()

        assert time.monotonic() - before < 20
        assert heard
        await asyncio.sleep(0.1)
        assert not _running(f":{port}/r.git")


def _running(words: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = process.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if words in line:
            found.append(line)
    return found


async def test_credentials_go_to_the_server_and_are_in_no_command_line_or_message() -> None:
    async with silent() as (port, heard):
        url = f"http://127.0.0.1:{port}/r.git"
        branch = GitBranch(
            url,
            "main",
            token=Secret("tok-en"),
            loopback=True,
            limits=GitLimits(seconds=1.5),
        )
        look = asyncio.ensure_future(branch.head())
        while not heard and not look.done():
            await asyncio.sleep(0.05)
        lines = _running(f":{port}/r.git")
        with pytest.raises(GitFailed) as refused:
            await look

    assert b"Authorization: Basic eC1hY2Nlc3MtdG9rZW46dG9rLWVu" in heard[0]
    assert lines
    for text in (*lines, str(refused.value)):
        assert "tok-en" not in text
        assert "dG9rLWVu" not in text


async def test_only_the_protocols_that_were_allowed_are_spoken(
    repository: Repository,
) -> None:
    urls = (repository.url, "http://127.0.0.1:1/r.git", "ext::sh -c touch% /tmp/x", "git://h/r")
    for url in urls:
        with pytest.raises(GitFailed, match=r"transport '.*' not allowed"):
            await GitBranch(url, "main").head()
    for url in ("--upload-pack=touch x", "-u"):
        with pytest.raises(ValueError, match="option"):
            GitBranch(url, "main", loopback=True)


async def test_the_machines_own_configuration_is_not_asked(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "ran"
    (tmp_path / ".gitconfig").write_text(
        f'[url "file://{tmp_path}/elsewhere"]\n\tinsteadOf = {repository.url}\n'
        f"[credential]\n\thelper = !touch {mark}\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_EXEC_PATH", "/nowhere")

    assert await branch_of(repository).head()
    assert not mark.exists()
    assert os.environ["GIT_DIR"] == "/nowhere"
