"""The way out as the settings say: one for everything, and no silence about another."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeconduct.app.outside import not_understood, outside, unheeded
from safeconduct.core.errors import Refused
from safeconduct.core.secrets import Secret
from safeconduct.settings import EgressSettings, SettingsError, parse
from tests.egress.certificates import Authority

HOST = "hosts: [{key: acme, origin: 'http://localhost:8420'}]\n"


def read(egress: str, **environ: str) -> EgressSettings:
    text = f"server: {{egress: {{{egress}}}}}\n{HOST}"
    return parse(text, base=Path("/nowhere"), environ=environ).server.egress


def test_by_default_everything_is_reached_directly(tmp_path: Path) -> None:
    assert outside(EgressSettings(), tmp_path, {}) == (None, None, {})


def test_a_proxy_is_for_git_as_well(tmp_path: Path) -> None:
    egress = read(
        "proxy: {env: HTTPS_PROXY}, no_proxy: [corp.test]",
        HTTPS_PROXY="http://us:pw@proxy.test:3128",
    )
    out = outside(egress, tmp_path, {})

    assert out.proxy is not None
    assert (out.proxy.host, out.proxy.port) == ("proxy.test", 3128)
    assert not out.proxy.carries("git.corp.test")
    assert out.git["HTTPS_PROXY"] == "http://us:pw@proxy.test:3128"
    assert out.git["NO_PROXY"] == "corp.test"


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_without_a_list_the_variable_says_what_goes_round_it(tmp_path: Path, variable: str) -> None:
    environ = {variable: "corp.test, .other.test"}
    proxy = outside(read("proxy: 'http://proxy.test:3128'"), tmp_path, environ).proxy

    assert proxy is not None
    assert not proxy.carries("a.corp.test")
    assert not proxy.carries("a.other.test")
    assert proxy.carries("example.test")
    none = outside(read("proxy: 'http://proxy.test:3128', no_proxy: []"), tmp_path, environ).proxy
    assert none is not None
    assert none.carries("a.corp.test"), "an empty list is a list"


@pytest.mark.parametrize(
    ("egress", "words"),
    [
        ("proxy: 'https://proxy.test'", "must be http://HOST:PORT"),
        ("proxy: 'socks5://proxy.test'", "must be http://HOST:PORT"),
        ("proxy: 'http://us:pw@proxy.test:3128'", "it holds a password"),
        ("proxy: 'http://proxy.test:3128/x'", "must be http://HOST:PORT"),
        ("proxies: 'http://proxy.test'", "proxy"),
    ],
)
def test_a_proxy_that_is_none_is_refused_when_the_file_is_read(egress: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(egress)
    assert words in str(caught.value)
    assert ":pw" not in str(caught.value)


def test_authorities_of_a_file_are_trusted_beside_the_systems(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    path = tmp_path / "ca.pem"
    path.write_text(authority.pem())
    out = outside(EgressSettings(ca_file=path), tmp_path, {})

    assert out.tls is not None
    assert any("test authority" in str(each) for each in out.tls.get_ca_certs())
    assert authority.pem() in Path(out.git["GIT_SSL_CAINFO"]).read_text()
    path.write_text("nothing")
    with pytest.raises(Refused, match=r"server\.egress\.ca_file"):
        outside(EgressSettings(ca_file=path), tmp_path, {})


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_variable_that_is_not_heeded_is_named(variable: str) -> None:
    environ = {variable: "http://proxy.test:3128"}
    assert unheeded(EgressSettings(), {}) is None
    assert unheeded(EgressSettings(), environ) == variable
    assert unheeded(EgressSettings(proxy=Secret("http://proxy.test:3128")), environ) is None


@pytest.mark.parametrize("written", ["'*.corp.test'", "'http://corp.test'", "'corp.test:80'"])
def test_what_no_proxy_cannot_mean_is_refused_with_its_line(written: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read(f"proxy: 'http://proxy.test:3128', no_proxy: [fine.test, {written}]")

    (problem,) = refused.value.problems
    assert (problem.path, problem.line) == ("server.egress.no_proxy[1]", 1)


def test_what_the_variable_cannot_mean_goes_by_the_proxy_and_is_named(tmp_path: Path) -> None:
    environ = {"NO_PROXY": "corp.test,a.other.test:80"}
    egress = read("proxy: 'http://proxy.test:3128'")

    assert not_understood(egress, environ) == ("a.other.test:80",)
    proxy = outside(egress, tmp_path, environ).proxy
    assert proxy is not None
    assert proxy.carries("a.other.test")
    assert not_understood(read("proxy: 'http://p.test:1', no_proxy: []"), environ) == ()
