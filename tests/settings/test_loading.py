"""The file as a whole: the documented example, places of problems, overrides, fuzzing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from safeconduct.core.model import Level
from safeconduct.core.secrets import Secret
from safeconduct.settings import SettingsError, load, parse
from tests.settings.conftest import HOST, Fail, Parse

EXAMPLE = """\
server:
  listen: 127.0.0.1:8420
  data_dir: .safeconduct              # embedded SQLite, keys, audit segments
  # database: postgresql+psycopg://…   # instead of SQLite
  workers: 1
  trusted_proxies: []
  allow_loopback_upstreams: true      # development and tests only; off by default
hosts:
  - key: acme
    origin: http://localhost:8420     # public origin and issuer; plain http only on loopback
    sign_in: {password: true}
    people:
      - {email: alice@acme.test, name: Alice, password: {env: ALICE_PASSWORD}, groups: [engineering], attributes: {region: EU}}
    operators:
      - {email: root@acme.test, role: owner, password: {env: ROOT_PASSWORD}}
    servers:
      - key: tickets
        name: Tickets
        url: http://127.0.0.1:9001/mcp
        import: all                   # or a list of tool names
        tools: {delete_issue: {level: high}, search: {enabled: false}}
    access:
      - {person: alice@acme.test, server: tickets, ceiling: medium}   # or {group: engineering, ...}
    relations: ["ticket:T-7#assignee@user:alice@acme.test"]
    policy: {directory: policies}     # Rego files and data beside this file
"""  # noqa: E501  the documented example, as people copy it
PASSWORDS = {"ALICE_PASSWORD": "correct horse", "ROOT_PASSWORD": "battery staple"}


def test_the_documented_example_is_read_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    file = tmp_path / "safeconduct.yaml"
    file.write_text(EXAMPLE)

    settings = load(file, PASSWORDS)

    (host,) = settings.hosts
    (upstream,) = host.servers
    assert settings.warnings == ()
    assert (settings.server.listen_host, settings.server.listen_port) == ("127.0.0.1", 8420)
    assert settings.server.data_dir == tmp_path / ".safeconduct"
    assert host.name == "acme"
    assert host.people[0].password == Secret("correct horse")
    assert host.people[0].attributes == {"region": "EU"}
    assert host.operators[0].role == "owner"
    assert upstream.imports == "all"
    assert upstream.tools["delete_issue"].level is Level.HIGH
    assert not upstream.tools["search"].enabled
    assert host.access[0].ceiling is Level.MEDIUM
    assert host.policy is not None
    assert host.policy.directory == tmp_path / "policies"


@pytest.mark.requirement("A-03", "P-20", "S-04", "S-05", "C-15", "K-09", "K-11")
def test_what_is_left_out_has_the_documented_default(read: Parse, tmp_path: Path) -> None:
    settings = read(HOST)

    (host,) = settings.hosts
    limits = settings.server.rate_limits
    assert settings.server.data_dir == tmp_path / ".safeconduct"
    assert settings.server.metrics == "loopback"
    assert settings.server.durability == "process"
    assert not settings.server.allow_private_upstreams
    assert host.sign_in.password is not None
    assert not host.sign_in.password.sign_up
    assert (limits.sign_in_per_5_minutes, limits.sign_up_per_10_minutes) == (100, 100)
    assert (limits.register_per_minute, limits.mcp_per_minute) == (100, 1000)
    assert (limits.writes_per_minute, limits.all_per_minute) == (1200, 2000)
    assert (host.sessions.idle_days, host.sessions.absolute_days) == (30, 90)
    assert (host.tokens.access_seconds, host.tokens.refresh_grace_seconds) == (900, 30)
    assert (host.consent.until_revoked, host.consent.longest_days) == (False, 90)
    assert host.tool_visibility == "allowed"
    assert host.registration == "open"
    assert host.client_documents.fetch
    assert host.client_documents.pinned
    assert host.servers[0].name == "tickets"


def test_loopback_upstreams_are_off_unless_switched_on(read: Parse) -> None:
    assert not read("hosts: []").server.allow_loopback_upstreams


def test_an_unknown_key_names_its_place_and_the_nearest_known_one(refuse: Fail) -> None:
    error = refuse(HOST + "      - key: wiki\n        ur: https://wiki.acme.test/mcp\n")

    (problem,) = error.problems
    assert (problem.path, problem.line, problem.column) == ("hosts[0].servers[1]", 10, 9)
    assert problem.message == "unknown key 'ur'; did you mean 'url'?"
    assert str(error) == (
        "safeconduct.yaml:10:9: hosts[0].servers[1]: unknown key 'ur'; did you mean 'url'?"
    )


@pytest.mark.parametrize(
    ("text", "path", "line", "column", "part"),
    [
        ("hosts: []\nhosts: []\n", "", 2, 1, "the key 'hosts' stands already at line 1"),
        ("server:\n  workers: two\n", "server.workers", 2, 12, "whole number"),
        ("server:\n  workers: '2'\n", "server.workers", 2, 12, "whole number"),
        ("server:\n  workers: 0\n", "server.workers", 2, 12, "from 1 to 256"),
        ("server:\n  data_dir: 7\n", "server.data_dir", 2, 13, "quote it"),
        ("server:\n  data_dir:\n", "server.data_dir", 2, 12, "it is empty"),
        ("server: [1]\n", "server", 1, 9, "mapping of settings"),
        ("hosts: {}\n", "hosts", 1, 8, "must be a list"),
        ("server:\n  allow_private_upstreams: yes\n", "server.allow_private_upstreams", 2, 28, "t"),
        ("server:\n  metrics: publik\n", "server.metrics", 2, 12, "did you mean 'public'?"),
        ("server:\n  listen: 8420\n", "server.listen", 2, 11, "quote it"),
        ("server:\n  listen: localhost\n", "server.listen", 2, 11, "ADDRESS:PORT"),
        ("server:\n  trusted_proxies: [10.0.0.1/8]\n", "server.trusted_proxies[0]", 2, 21, "host"),
        ("hosts:\n  - key: acme\n", "hosts[0]", 2, 5, "the key 'origin' is missing"),
        ("hosts:\n- {key: Acme, origin: https://a.test}", "hosts[0].key", 2, 9, "lower-case"),
        ("a: 1\n  b: 2\n", "", 2, 4, "not valid YAML"),
        ("a: [1\n", "", 2, 1, "expected ',' or ']', but got '<stream end>'"),
        ("a:\n\tb: 2\n", "", 2, 1, "a tab stands here; indent with spaces"),
        ("", "", 1, 1, "empty"),
        ("a: 1\n---\nb: 2\n", "", 2, 1, "second document"),
        ("server: &s {}\nhosts: *t\n", "", 2, 8, "no anchor"),
        ("a: !!python/name:os.system x\n", "", 1, 4, "tags"),
        ("server:\n  <<: {}\n", "", 2, 3, "merge keys"),
        ("? [1]\n: 2\n", "", 1, 3, "a key must be a word"),
        ('a: "\\0"\n', "", 1, 4, "control character"),
        ('a: "\\UFFFFFFFF"\n', "", 1, 1, "escape"),
        ("a: b\nc: \x01\n", "", 2, 4, "character is not allowed"),
    ],
)
def test_a_mistake_is_reported_where_it_stands(
    refuse: Fail, text: str, path: str, line: int, column: int, part: str
) -> None:
    problem = refuse(text).problems[0]

    assert (problem.path, problem.line, problem.column) == (path, line, column)
    assert part in problem.message


def test_several_mistakes_are_reported_together_in_the_order_of_the_file(refuse: Fail) -> None:
    error = refuse("server:\n  workers: x\n  listen: y\nhosts:\n  - {kye: a}\n")

    assert [(problem.line, problem.path) for problem in error.problems] == [
        (2, "server.workers"),
        (3, "server.listen"),
        (5, "hosts[0]"),
        (5, "hosts[0]"),
    ]


def test_no_more_than_twenty_mistakes_are_listed(refuse: Fail) -> None:
    error = refuse("".join(f"unknown_{number}: 1\n" for number in range(23)))

    assert len(error.problems) == 20
    assert error.more == 3
    assert str(error).endswith("and 3 more")


@pytest.mark.parametrize("word", ["yes", "no", "on", "NO", "2026-11-21", "1:30", "0o17", "007"])
def test_yaml_words_without_a_prescribed_type_stay_texts(read: Parse, word: str) -> None:
    text = HOST.replace("groups: [engineering]", f"attributes: {{it: {word}, n: 5, t: true}}")

    assert read(text).hosts[0].people[0].attributes == {"it": word, "n": 5, "t": True}


def test_an_environment_variable_wins_over_the_file(read: Parse) -> None:
    environ = {
        "SAFECONDUCT_LISTEN": "0.0.0.0:80",
        "SAFECONDUCT_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.1",
        "SAFECONDUCT_DATABASE": "postgresql+psycopg://me:hidden@db/safeconduct",
        "SAFECONDUCT_WORKERS": "",
    }

    # What is replaced is not even judged.
    settings = read("server: {listen: nowhere, workers: 3}", environ)

    assert settings.server.listen == "0.0.0.0:80"
    assert settings.server.trusted_proxies == ("10.0.0.0/8", "192.0.2.1/32")
    assert settings.server.workers == 3
    assert settings.server.database is not None
    assert settings.server.database.reveal().startswith("postgresql+psycopg://me:hidden@")


def test_an_unusable_environment_variable_is_named_and_its_value_is_not(refuse: Fail) -> None:
    error = refuse("hosts: []", {"SAFECONDUCT_WORKERS": "plenty"})

    assert "environment variable SAFECONDUCT_WORKERS: must be a whole number" in str(error)
    assert "plenty" not in str(error)


def test_a_misspelt_environment_variable_is_a_warning(read: Parse) -> None:
    settings = read(HOST, {"SAFECONDUCT_LISTN": "0.0.0.0:80", "HOME": "/root"})

    (warning,) = settings.warnings
    assert "SAFECONDUCT_LISTN overrides nothing; did you mean SAFECONDUCT_LISTEN?" in warning


def test_a_file_that_is_not_there_or_not_text_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        load(tmp_path / "missing.yaml", {})
    (tmp_path / "latin.yaml").write_bytes(b"hosts: []\n# caf\xe9\n")
    with pytest.raises(SettingsError, match=r"latin\.yaml:2:1: the file must be UTF-8"):
        load(tmp_path / "latin.yaml", {})


_WORDS = st.sampled_from(
    re.split(
        r"\s+",
        """hosts server key origin people email password env file servers url tools level high
        access person relations policy directory clients redirect_uris import all true null 7
        a@b.c https://a.test http://127.0.0.1/x http://[::1 &a *a !t << - : , { } [ ] ? | > " '
        # % @ `""",
    )
)
_YAMLISH = st.lists(
    st.one_of(
        _WORDS, st.sampled_from([": ", "\n", "\n  ", "\n    ", "- ", ", "]), st.text(max_size=3)
    )
).map("".join)
_TREES = st.recursive(
    st.one_of(_WORDS, st.booleans(), st.integers(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(_WORDS, inner, max_size=4)
    ),
    max_leaves=25,
).map(lambda tree: str(tree).replace("None", "null").replace("True", "true"))


@hypothesis_settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.one_of(_YAMLISH, _TREES, st.text()))
@example(text="[" * 5000)
@example(text="a: " + "{a: " * 100)
@example(text="%YAML " + "9" * 5000 + ".1\n---\na")
@example(text="\ud800")
@example(text='"\\ud800"')
@example(text="server: {database: {file: ''}}")
@example(text="server: {listen: '\uff11:\uff11'}")
def test_no_text_raises_anything_but_a_settings_error(tmp_path: Path, text: str) -> None:
    try:
        parse(text, base=tmp_path, environ={})
    except SettingsError as caught:
        error = caught
    else:
        return
    assert 1 <= len(error.problems) <= 20
    str(error).encode()
