"""What an installation keeps in its data directory, and for whose eyes."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from safeconduct.app import Provisioner, open_installation
from safeconduct.app.building import root_key
from safeconduct.core.errors import Refused
from safeconduct.settings import parse

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


async def test_every_file_is_its_owners_alone_even_in_an_open_directory(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    before = os.umask(0)
    try:
        async with open_installation(parse("server: {data_dir: data}", base=tmp_path, environ={})):
            modes = {path.name: path.stat().st_mode & _OTHERS for path in data.iterdir()}
    finally:
        os.umask(before)

    assert {"safeconduct.db", "safeconduct.db-wal", "master.key", "epoch", "audit"} <= modes.keys()
    assert {name for name, mode in modes.items() if mode} == set()


def test_the_key_is_made_once_even_by_several_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as crowd:
        keys = set(crowd.map(root_key, [tmp_path] * 8))

    (key,) = keys
    assert len(key) == 32
    assert root_key(tmp_path) == key
    assert [path.name for path in tmp_path.iterdir()] == ["master.key"]


async def test_a_lost_key_stops_the_start_once_there_is_something_it_opened(tmp_path: Path) -> None:
    text = "server: {data_dir: data}\nhosts: [{key: acme, origin: 'http://localhost:8420'}]"
    settings = parse(text, base=tmp_path, environ={})
    key = tmp_path / "data" / "master.key"
    async with open_installation(settings):
        first = key.read_bytes()
    key.unlink()  # nothing is stored yet, so another one is as good
    async with open_installation(settings) as parts:
        assert key.read_bytes() != first
        await Provisioner.of(parts).apply(settings)
        whole = key.read_bytes()
    key.unlink()

    with pytest.raises(Refused, match=r"master\.key is missing.*Restore it from a backup"):
        async with open_installation(settings):
            pass

    assert not key.exists()
    key.write_bytes(whole)
    async with open_installation(settings) as parts:
        assert [host.key for host in parts.hosts.every()] == ["acme"]


@pytest.mark.parametrize("left", [b"", b"k" * 31, b"k" * 33])
def test_a_key_that_is_none_is_refused_with_what_to_do(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "master.key").write_bytes(left)

    with pytest.raises(Refused, match="Put the right file back"):
        root_key(tmp_path)

    assert (tmp_path / "master.key").read_bytes() == left
