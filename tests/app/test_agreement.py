"""Plan, doctor and serve judge every file alike: what one lets pass, the others do too.

The files come from the settings' model, key by key and in combination. What is outside and not
there (mail server, upstream, repository) stops nobody, and the doctor says it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from safeconduct.app import Provisioner, configured, gateway, open_installation
from safeconduct.cli.work.examining import examine
from safeconduct.core.errors import GatewayError
from safeconduct.settings import Settings, SettingsError, load
from tests.app.documents import documents, environment, lay_out

_SHARES = 8  # of the files; each takes minutes, so the suite looks at the first
_ALL = "SAFECONDUCT_EVERY_FILE"  # set: at all of them
_OUTSIDE = ("mail", "origin of", "server ", "policy of", "port")


def _settings(directory: Path, document: dict[str, Any]) -> Settings | str:
    path = directory / "safeconduct.yaml"
    path.write_text(yaml.safe_dump(document), "utf-8")
    try:
        return load(path, environment())
    except SettingsError as error:
        return str(error)


async def _plan(settings: Settings) -> None:
    async with open_installation(settings) as parts:
        await Provisioner.of(parts).plan(settings)


async def _serve(settings: Settings) -> None:
    async with gateway(settings) as running:
        configured(running, settings)


def _outcome(work: Any) -> str:
    """Return "" or the refusal; anything else that goes wrong is a fault of ours."""
    try:
        asyncio.run(work)
    except GatewayError as error:
        return error.public
    return ""


def _doctors(directory: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    examine(directory / "safeconduct.yaml", as_json=True)
    said = json.loads(capsys.readouterr().out)
    return [
        f"{each['check']}: {each['message']}"
        for each in said["checks"]
        if each["state"] == "fail" and not each["check"].startswith(_OUTSIDE)
    ]


def _differences(
    directory: Path,
    document: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    seen: Counter[str],
) -> list[str]:
    lay_out(directory)
    settings = _settings(directory, document)
    if isinstance(settings, str):
        seen["refused when read"] += 1
        return [] if "line" in settings or "safeconduct.yaml" in settings else [settings]
    before = _doctors(directory, capsys)
    planned, served = _outcome(_plan(settings)), _outcome(_serve(settings))
    after = _doctors(directory, capsys)
    seen["refused by all" if served else "served"] += 1
    outcomes = {
        "doctor, before": bool(before),
        "plan": bool(planned),
        "serve": bool(served),
        "doctor, after": bool(after),
    }
    if len(set(outcomes.values())) == 1:
        return []
    return [f"{document}: {outcomes} {before} {planned!r} {served!r} {after}"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("share", range(_SHARES if os.environ.get(_ALL) else 1))
def test_plan_doctor_and_serve_judge_every_file_alike(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    share: int,
) -> None:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    seen: Counter[str] = Counter()
    found: list[str] = []
    for number, document in enumerate(itertools.islice(documents(), share, None, _SHARES)):
        directory = tmp_path / str(number)
        directory.mkdir(mode=0o700)
        found += _differences(directory, document, capsys, seen)

    assert found == []
    assert seen["served"] > 10
