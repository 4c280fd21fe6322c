"""Looking at an installation changes nothing, on either store."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeconduct.app import Provisioner, look_at_installation, open_installation
from safeconduct.settings import parse
from safeconduct.storage import DatabaseIsOlder
from tests.fixtures.postgres import Postgres

FILE = """\
server: {data_dir: data, database: {env: DATABASE}}
hosts: [{key: acme, origin: 'http://localhost:8420'}]
"""


@pytest.mark.slow
async def test_looking_brings_no_shared_database_up_to_date(
    tmp_path: Path, postgres: Postgres
) -> None:
    """Other nodes may still run the older version."""
    url = postgres.create().replace("+psycopg", "")
    settings = parse(FILE, base=tmp_path, environ={"DATABASE": url})
    data = tmp_path / "data"

    with pytest.raises(DatabaseIsOlder, match="safeconduct apply"):
        async with look_at_installation(settings):
            pass
    assert not data.exists()

    async with open_installation(settings) as parts:
        await Provisioner.of(parts).apply(settings)
    before = sorted(path.name for path in data.iterdir())
    async with look_at_installation(settings) as parts:
        assert (await Provisioner.of(parts).plan(settings)).steps == ()
    assert sorted(path.name for path in data.iterdir()) == before
