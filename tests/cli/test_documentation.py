"""What the pages say of commands and of each other is so: names, options, links, first steps."""

from __future__ import annotations

import re
import shlex
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
import yaml

from safeconduct.cli.program import program, run
from safeconduct.settings import HostSettings, parse
from tests.egress.certificates import Authority

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md"))]
_KEY = "  - key: acme\n"
_HOST = f"{_KEY}    origin: http://localhost:8420\n"
_ENDS = frozenset({"|", ">", "&&", ";", "#"})


def _said() -> Iterator[tuple[str, str]]:
    """Yield each command that a page shows, on a line of its own or in a sentence."""
    for page in PAGES:
        text = page.read_text()
        shown = re.findall(r"^\s*\$ (safeconduct .*)$", text, re.MULTILINE)
        inline = re.findall(r"`(safeconduct [^`]*)`", text)
        for command in dict.fromkeys((*shown, *(re.sub(r"\s+", " ", each) for each in inline))):
            yield page.name, command


COMMANDS = [*_said()]


def _words(command: str) -> list[str]:
    lexer = shlex.shlex(command, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, "#"
    words = []
    for word in lexer:
        if word in _ENDS:
            break
        words.append(word.strip(",…"))
    return words[1:]


def test_pages_show_commands() -> None:
    assert len(COMMANDS) > 30


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=lambda each: str(each)[:60])
def test_a_command_that_a_page_shows_exists_with_its_options(page: str, command: str) -> None:
    at: Any = typer.main.get_command(program())
    for word in _words(command):
        if hasattr(at, "commands") and not word.startswith("-"):
            # `servers list|check` and `policy (check|test)` are several.
            names = word.strip("()").split("|")
            assert all(name in at.commands for name in names), f"{page}: {word}"
            at = at.commands[names[0]]
        elif word.startswith("-"):
            known = {option for each in at.params for option in each.opts}
            for option in word.partition("=")[0].split("|"):
                assert option in {*known, "--help"}, f"{page}: {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
            assert anchor in slugs, f"{page.name}: {link}"


def test_every_page_is_reached_from_the_first() -> None:
    readme = (ROOT / "README.md").read_text()

    for page in (ROOT / "docs").glob("*.md"):
        assert f"(docs/{page.name})" in readme, page.name


def _settings() -> Iterator[Any]:
    """Yield the parts of configuration files that pages show, each as a whole file."""
    of_a_host = {each.encode_name for each in msgspec.structs.fields(HostSettings)}
    for page in PAGES:
        shown = re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        for number, block in enumerate(map(textwrap.dedent, shown)):
            keys = yaml.load(block, Loader=yaml.BaseLoader).keys()
            if keys == {"server"}:
                yield pytest.param(f"{block}hosts:\n{_HOST}", id=f"{page.name}-{number}")
            elif keys <= {"server", "hosts"}:
                whole = block if "origin" in block else block.replace(_KEY, _HOST)
                yield pytest.param(whole, id=f"{page.name}-{number}")
            elif keys <= of_a_host:
                host = f"hosts:\n{_HOST}{textwrap.indent(block, '    ')}"
                yield pytest.param(host, id=f"{page.name}-{number}")
            # The others are data of rules, a scenario, another program's file.


@pytest.mark.parametrize("text", [*_settings()])
def test_settings_that_a_page_shows_can_be_read(text: str, tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    for name in re.findall(r"file: ([\w./-]+)", text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        of_authorities = f"ca_file: {name}" in text
        path.write_text(Authority(tmp_path).pem() if of_authorities else "a value of a file")
    environ = dict.fromkeys(re.findall(r"env: (\w+)", text), "a-value-of-twenty-letters")

    settings = parse(
        text, base=tmp_path, environ=environ | {"HTTPS_PROXY": "http://proxy.example:3128"}
    )

    assert settings.hosts


def test_the_first_file_is_planned_applied_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (text,) = re.findall(
        r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # put back afterwards
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r"env: (\w+)", text):
        monkeypatch.setenv(name, "correct-horse-battery")
    (tmp_path / "safeconduct.yaml").write_text(text)

    assert run(["plan"]) == 0
    planned = capsys.readouterr()
    assert "Warning" not in planned.err
    assert "+ " in planned.out
    assert run(["apply", "--no-crawl"]) == 0
    assert run(["people", "list"]) == 0
    assert run(["connect", "claude-code"]) == 0
    assert "claude mcp add" in capsys.readouterr().out
