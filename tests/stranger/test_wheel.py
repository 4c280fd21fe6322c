"""The wheel as somebody gets it: installed away from the sources, it is all there."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src/safeconduct"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it as `pip wheel` does, without a network."""
    directory = tmp_path_factory.mktemp("wheel")
    how = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", *how, "-w", str(directory), str(ROOT))
    (built,) = directory.glob("safeconduct-*.whl")
    return built


def run(*command: str, cwd: Path = ROOT, environ: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, check=False, timeout=200, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_everything_the_program_reads_is_inside_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        inside = {
            name.removeprefix("safeconduct/")
            for name in opened.namelist()
            if name.startswith("safeconduct/")
        }
    sources = {
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    policies = ROOT / "policies"
    rules = {
        f"policy/rules/{path.relative_to(policies).as_posix()}"
        for path in policies.rglob("*")
        if path.is_file()
    }

    assert rules
    assert {Path(name).suffix for name in inside} >= {".py", ".html", ".css", ".sql", ".rego"}
    assert inside == sources | rules


@pytest.mark.requirement("E-01")
def test_installed_away_from_the_sources_it_plays_the_story(wheel: Path, tmp_path: Path) -> None:
    """What it depends on is this environment's; the program is the wheel's alone."""
    home = tmp_path / "venv"
    venv.create(home, symlinks=True)
    python = str(home / "bin/python")
    (site,) = home.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(site)
    # Added without the .pth files in it, so that an editable installation of ours does not count.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}

    where = run(python, "-c", "import safeconduct; print(safeconduct.__file__)", cwd=tmp_path)
    told = run(python, "-m", "safeconduct", "demo", "--script", cwd=tmp_path, environ=environ)

    assert Path(where.strip()).is_relative_to(site)
    assert "Every step behaved." in told
