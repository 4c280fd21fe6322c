"""Each text has one shape: the allowed spelling beside its nearest forbidden neighbour."""

from __future__ import annotations

import pytest

from safeconduct.settings import forms

ALLOWED = [
    (forms.origin, "https://Gate.Acme.test", "https://gate.acme.test"),
    (forms.origin, "https://gate.acme.test:8443", "https://gate.acme.test:8443"),
    (forms.origin, "http://localhost:8420", "http://localhost:8420"),
    (forms.origin, "http://127.0.0.1", "http://127.0.0.1"),
    (forms.origin, "http://[::1]:8420", "http://[::1]:8420"),
    (forms.listen, "[::1]:0", "[::1]:0"),
    (forms.listen, "localhost:65535", "localhost:65535"),
    (forms.email, "Alice@Acme.test", "alice@acme.test"),
    (forms.host_key, "a" * 63, "a" * 63),
    (forms.server_key, "my_server-1", "my_server-1"),
    (forms.url, "https://up.test/mcp?x=1", "https://up.test/mcp?x=1"),
    (forms.url, "http://192.0.2.7:80/mcp", "http://192.0.2.7:80/mcp"),
    (forms.redirect_uri, "https://app.test/cb", "https://app.test/cb"),
    (forms.redirect_uri, "http://localhost/callback", "http://localhost/callback"),
    (forms.redirect_uri, "cursor://anysphere/cb", "cursor://anysphere/cb"),
    (forms.redirect_uri, "com.example.app:/cb", "com.example.app:/cb"),
    (forms.document_url, "https://a.test/client.json", "https://a.test/client.json"),
    (forms.uri_template, "ticket://{id}/{part}", "ticket://{id}/{part}"),
    (forms.uri_template, "search://q?x={y}&id={id}", "search://q?x={y}&id={id}"),
    (forms.client_id, "nightly-report", "nightly-report"),
    (forms.git_url, "https://git.test/acme/policy.git", None),
    (forms.git_url, "ssh://git@git.test:2222/acme/policy.git", None),
    (forms.git_url, "ssh://git.test/~ada/policy", None),
    (forms.git_url, "file:///srv/policy", None),
    (forms.git_branch, "env/production-1.2", None),
    (forms.inner_path, ".", None),
    (forms.inner_path, "policies/acme", None),
    (forms.relation, "ticket:T-7#assignee@user:alice@acme.test", None),
    (forms.relation, "team:core#member@group:eng#member", None),
    (forms.relation, "doc:1#viewer@user:*", None),
    (forms.relation, "doc:1#viewer@user:a[expiration:2026-12-01T00:00:00Z]", None),
    (forms.relation, "doc:1#viewer@team:a#lead[expiration:2026-12-01T00:00:00+01:00]", None),
]
FORBIDDEN = [
    (forms.git_url, "https://ada:secret@git.test/p.git"),
    (forms.git_url, "https://token@git.test/p.git"),
    (forms.git_url, "ssh://git:secret@git.test/p.git"),
    (forms.git_url, "ssh://-oProxyCommand=x/p.git"),
    (forms.git_url, "ssh://-oProxyCommand=x@git.test/p.git"),
    (forms.git_url, "git@git.test:acme/policy.git"),
    (forms.git_url, "git://git.test/p.git"),
    (forms.git_url, "ext::sh -c id"),
    (forms.git_url, "--upload-pack=id"),
    (forms.git_url, "file://host/p"),
    (forms.git_url, "https://git.test/p.git?x"),
    (forms.git_branch, "-d"),
    (forms.git_branch, "a..b"),
    (forms.git_branch, "a:b"),
    (forms.git_branch, "my branch"),
    (forms.git_branch, "a/.b"),
    (forms.git_branch, "a.lock"),
    (forms.git_branch, "a/"),
    (forms.git_branch, "main^"),
    (forms.inner_path, "../up"),
    (forms.inner_path, "a/../b"),
    (forms.inner_path, "../up"),
    (forms.inner_path, "a//b"),
    (forms.inner_path, "./a"),
    (forms.inner_path, "../up"),
    (forms.inner_path, "a:b"),
    (forms.origin, "http://gate.acme.test"),
    (forms.origin, "http://localhost.evil.test"),
    (forms.origin, "http://127.0.0.2"),
    (forms.origin, "https://gate.acme.test/"),
    (forms.origin, "https://gate.acme.test?"),
    (forms.origin, "https://gate.acme.test#"),
    (forms.origin, "https://gate.acme.test:443"),
    (forms.origin, "https://gate.acme.test:"),
    (forms.origin, "https://me@gate.acme.test"),
    (forms.origin, "https://*.acme.test"),
    (forms.origin, "https://gäte.test"),
    (forms.origin, "ftp://gate.acme.test"),
    (forms.origin, "gate.acme.test"),
    (forms.listen, "::1:8420"),
    (forms.listen, ":1234"),
    (forms.listen, "localhost:65536"),
    (forms.listen, "localhost:\uff11"),
    (forms.email, "mallory"),
    (forms.email, "alice@acme@test"),
    (forms.email, "Alice <alice@acme.test>"),
    (forms.host_key, "a" * 64),
    (forms.host_key, "a_b"),
    (forms.host_key, "1a"),
    (forms.host_key, "a\n"),
    (forms.server_key, "My"),
    (forms.url, "ftp://up.test/"),
    (forms.url, "https://u:p@up.test/mcp"),
    (forms.url, "https://up.test/mcp#x"),
    (forms.url, "https://up.test\\@evil.test/"),
    (forms.url, "http://2130706433/"),
    (forms.url, "http://0x7f.1/"),
    (forms.url, "http://127.1/"),
    (forms.url, "https://up.test:0/"),
    (forms.redirect_uri, "http://app.test/cb"),
    (forms.redirect_uri, "javascript:alert(1)"),
    (forms.redirect_uri, "JavaScript:alert(1)"),
    (forms.redirect_uri, "data:text/html,x"),
    (forms.redirect_uri, "https://app.test/*"),
    (forms.redirect_uri, "https://app.test/cb#x"),
    (forms.redirect_uri, "https://u@app.test/cb"),
    (forms.redirect_uri, "/cb"),
    (forms.document_url, "http://a.test/client.json"),
    (forms.document_url, "https://a.test/"),
    (forms.client_id, "https://a.test/client.json"),
    (forms.client_id, "a b"),
    (forms.uri_template, "ticket://{id}/{id}"),
    (forms.uri_template, "ticket://{id}{part}"),
    (forms.uri_template, "ticket://{id}-{part}"),
    (forms.uri_template, "search://q?x={y}.{id}"),
    (forms.relation, "doc:1#viewer"),
    (forms.relation, "ticket#assignee@user:alice"),
    (forms.relation, "ticket:T-7#assignee@alice"),
    (forms.relation, "doc:1#viewer@user:"),
    (forms.relation, "doc:1#viewer@user:a[expiration:2026-13-01T00:00:00Z]"),
    (forms.relation, "doc:1#viewer@team:a#lead[expiration:2026-12-01T00:00:00]"),
]


@pytest.mark.parametrize(("form", "text", "spelled"), ALLOWED)
def test_an_allowed_text_comes_back_in_its_one_spelling(
    form: forms.Form, text: str, spelled: str | None
) -> None:
    assert form(text) == (spelled or text)


@pytest.mark.parametrize(("form", "text"), FORBIDDEN)
def test_a_forbidden_text_is_refused_without_being_repeated(form: forms.Form, text: str) -> None:
    with pytest.raises(ValueError, match="must") as caught:
        form(text)
    assert text not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "loopback", "private"),
    [
        ("http://localhost/", True, False),
        ("http://LOCALHOST./", True, False),
        ("http://up.localhost/", True, False),
        ("http://127.9.9.9/", True, True),
        ("http://[::1]/", True, True),
        ("http://[::ffff:127.0.0.1]/", True, True),
        ("http://0.0.0.0/", True, True),
        ("http://10.0.0.1/", False, True),
        ("http://169.254.169.254/", False, True),
        ("http://[fd00::1]/", False, True),
        ("http://9.9.9.9/", False, False),
        ("http://localhost.acme.test/", False, False),
    ],
)
def test_addresses_are_told_apart(url: str, loopback: bool, private: bool) -> None:
    assert forms.is_loopback(url) is loopback
    assert forms.is_private(url) is private
