"""Settings that refer to each other agree, or both places are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.settings.conftest import HOST, Fail, Parse

LINE = 9  # where text appended to HOST begins


@pytest.mark.parametrize(
    ("added", "path", "line", "message"),
    [
        (
            "    access: [{person: bob@acme.test, server: tickets, ceiling: low}]",
            "hosts[0].access[0].person",
            LINE,
            "'bob@acme.test' is not in hosts[0].people (line 6)",
        ),
        (
            "    access: [{person: alice@acme.test, server: tickts, ceiling: low}]",
            "hosts[0].access[0].server",
            LINE,
            "'tickts' is not in hosts[0].servers (line 8); did you mean 'tickets'?",
        ),
        (
            "    policy: {trusted_keys: []}",
            "hosts[0].policy",
            LINE,
            "says nothing; name a directory, a git repository, by: api or an engine",
        ),
        (
            "    access: [{server: tickets, ceiling: low}]",
            "hosts[0].access[0]",
            LINE,
            "must name a person or a group, and not both",
        ),
        (
            "    access: [{person: alice@acme.test, group: g, server: tickets, ceiling: low}]",
            "hosts[0].access[0]",
            LINE,
            "must name a person or a group, and not both",
        ),
        (
            """\
    access:
    - {person: alice@acme.test, server: tickets, ceiling: low}
    - {person: ALICE@acme.test, server: tickets, ceiling: high}""",
            "hosts[0].access[1]",
            LINE + 2,
            "repeats hosts[0].access[0] (line 10)",
        ),
        (
            "      - {key: tickets, url: https://up.test/mcp}",
            "hosts[0].servers[1].key",
            LINE,
            "repeats hosts[0].servers[0].key (line 8)",
        ),
        (
            "      - {key: w, url: https://up.test/mcp, import: [find], tools: {fnd: {}}}",
            "hosts[0].servers[1].tools",
            LINE,
            "'fnd' is not in hosts[0].servers[1].import (line 9); did you mean 'find'?",
        ),
        (
            "      - {key: w, url: http://10.0.0.1/mcp}",
            "hosts[0].servers[1].url",
            LINE,
            "is a private address, and server.allow_private_upstreams is off",
        ),
        (
            "    operators: [{email: root@acme.test, role: admin}]",
            "hosts[0].operators[0]",
            LINE,
            "an operator needs a password: {env: NAME} or {file: PATH}",
        ),
        (
            "    sign_in: {password: false}",
            "hosts[0].sign_in",
            LINE,
            "needs at least one method; write password: true",
        ),
        (
            "    policy: {directory: rules}",
            "hosts[0].policy.directory",
            LINE,
            "there is no such directory beside this file",
        ),
        (
            "    policy: {by: api, git: {url: 'https://git.test/p.git'}}",
            "hosts[0].policy.by",
            LINE,
            "api and hosts[0].policy.git (line 9) both say where rules come from; keep one of them",
        ),
        (
            "    policy: {by: api, off: [x.rego]}",
            "hosts[0].policy.off",
            LINE,
            "is for files that are read; by: api leaves a file out by not sending it",
        ),
        (
            "    policy: {off: [x.rego]}",
            "hosts[0].policy.off",
            LINE,
            "needs a directory or a git repository that has the files",
        ),
        (
            "    policy: {git: {url: 'https://git.test/p.git'}, off: [x.rego, x.rego]}",
            "hosts[0].policy.off[1]",
            LINE,
            "repeats hosts[0].policy.off[0] (line 9)",
        ),
        (
            "    policy: {engine: opa}",
            "hosts[0].policy.engine",
            LINE,
            "opa needs server.opa, which says where the servers are",
        ),
        (
            "    sessions: {idle_days: 91}",
            "hosts[0].sessions.idle_days",
            LINE,
            "must be at most hosts[0].sessions.absolute_days (90)",
        ),
        (
            """\
    private_schemes: false
    clients: [{id: cursor, redirect_uris: ['cursor://cb']}]""",
            "hosts[0].clients[0].redirect_uris[0]",
            LINE + 1,
            "has an app's own scheme, and hosts[0].private_schemes is off (line 9)",
        ),
        (
            "    clients: [{id: cursor, redirect_uris: []}]",
            "hosts[0].clients[0].redirect_uris",
            LINE,
            "needs at least one URI",
        ),
        (
            "    client_documents: {add: [{document: {client_id: 'https://a.test/c'}}]}",
            "hosts[0].client_documents.add[0].document.redirect_uris",
            LINE,
            "must be a list of at least one URI",
        ),
        (
            "  - {key: acme, origin: 'https://b.test'}",
            "hosts[1].key",
            LINE,
            "repeats hosts[0].key (line 3)",
        ),
        (
            "  - {key: other, origin: 'HTTP://LOCALHOST:8420'}",
            "hosts[1].origin",
            LINE,
            "repeats hosts[0].origin (line 4)",
        ),
    ],
)
def test_a_contradiction_names_both_places(
    refuse: Fail, added: str, path: str, line: int, message: str
) -> None:
    (problem,) = refuse(HOST + added + "\n").problems

    assert (problem.path, problem.line, problem.message) == (path, line, message)


@pytest.mark.requirement("Z-38")
@pytest.mark.parametrize(
    ("points", "path", "message"),
    [
        (
            "[{id: a, secret: {env: A}}, {id: a, secret: {env: B}}]",
            "[1].id",
            "repeats hosts[0].enforcement_points[0].id (line 9)",
        ),
        (
            "[{id: a, secret: {env: A}}, {id: b, secret: {env: A}}]",
            "[1].secret",
            "repeats hosts[0].enforcement_points[0].secret (line 9)",
        ),
        (
            "[{id: a, secret: {env: SHORT}}]",
            "[0].secret",
            "must have 20 to 256 characters of printable ASCII, and no space",
        ),
        (
            "[{id: a, secret: {env: SPACED}}]",
            "[0].secret",
            "must have 20 to 256 characters of printable ASCII, and no space",
        ),
        (
            "[{id: 'a:b', secret: {env: A}}]",
            "[0].id",
            "must be 1 to 63 of a-z, 0-9, '_', '.' and '-', with a letter or digit at both ends",
        ),
    ],
)
def test_enforcement_points_can_be_told_apart_and_not_guessed(
    read: Parse, refuse: Fail, points: str, path: str, message: str
) -> None:
    environ = {"A": "a" * 20, "B": "b" * 20, "SHORT": "a" * 19, "SPACED": "a" * 10 + " " + "a" * 9}
    text = HOST + "    enforcement_points: "
    read(text + "[{id: a, secret: {env: A}}, {id: b.c-d, secret: {env: B}}]", environ)

    (problem,) = refuse(text + points, environ).problems

    assert (problem.path, problem.message) == (f"hosts[0].enforcement_points{path}", message)


def test_emails_that_differ_in_case_only_are_the_same_person(refuse: Fail) -> None:
    text = HOST.replace("    servers:", "      - {email: Alice@ACME.test}\n    servers:")

    (problem,) = refuse(text).problems

    assert problem.path == "hosts[0].people[1].email"
    assert problem.message == "repeats hosts[0].people[0].email (line 6)"


def test_an_upstream_on_this_machine_needs_the_development_switch(
    read: Parse, refuse: Fail
) -> None:
    read(HOST)

    (problem,) = refuse(HOST.replace("upstreams: true", "upstreams: false")).problems

    assert problem.path == "hosts[0].servers[0].url"
    assert problem.message == (
        "is on this machine, and server.allow_loopback_upstreams is off (line 1)"
    )


def test_the_switch_may_come_from_the_environment(read: Parse) -> None:
    text = HOST.replace("server: {allow_loopback_upstreams: true}\n", "")

    assert read(text, {"SAFECONDUCT_ALLOW_LOOPBACK_UPSTREAMS": "true"}).hosts


def test_a_private_address_is_reached_only_when_the_installation_says_so(read: Parse) -> None:
    text = "server: {allow_private_upstreams: true}\n" + HOST.partition("\n")[2].replace(
        "http://127.0.0.1:9001", "https://10.0.0.1"
    )

    assert read(text).warnings == ()


def test_an_operator_may_have_the_password_of_a_person_but_not_two(
    read: Parse, refuse: Fail
) -> None:
    text = HOST.replace("alice@acme.test,", "alice@acme.test, password: {env: P},")
    environ = {"P": "long enough"}
    read(text + "    operators: [{email: alice@acme.test, role: owner}]", environ)

    (problem,) = refuse(
        text + "    operators: [{email: alice@acme.test, role: owner, password: {env: P}}]", environ
    ).problems

    assert problem.message == (
        "this email has a password already at hosts[0].people[0].password (line 6)"
    )


def test_what_is_unwise_is_a_warning_and_not_an_error(read: Parse) -> None:
    text = HOST.replace("alice@acme.test,", "alice@acme.test, password: {env: P},") + (
        "      - {key: wiki, url: http://wiki.acme.test/mcp}\n"
        "    access: [{group: sales, server: wiki, ceiling: low}]\n"
        "    client_documents: {fetch: false, pinned: false}\n"
    )

    warnings = read(text, {"P": "short"}).warnings

    assert [warning.partition(": ")[0] for warning in warnings] == [
        "hosts[0].people[0].password",
        "hosts[0].servers[1].url",
        "hosts[0].access[0].group",
        "hosts[0].client_documents",
    ]
    assert read("hosts: []").warnings == ("hosts: there are none, so every request is refused",)


@pytest.mark.requirement("A-22")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_mail_may_do_without_a_login_and_on_this_machine_without_tls(
    read: Parse, host: str
) -> None:
    mail = read("server: {mail: {host: mail.test, sender: gate@mail.test}}").server.mail
    local = read(
        f"server: {{mail: {{host: {host}, sender: g@a.test, security: none}}}}"
    ).server.mail

    assert mail is not None
    assert (mail.username, mail.password) == ("", None)
    assert local is not None
    assert local.security == "none"


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ("host: mail.test, sender: g@a.test, security: none", "server.mail.security"),
        ("host: localhost.evil.test, sender: g@a.test, security: none", "server.mail.security"),
        ("host: 127.0.0.1.nip.io, sender: g@a.test, security: none", "server.mail.security"),
        ("host: mail.test, sender: g@a.test, username: gate", "server.mail.username"),
        ("host: mail.test, sender: '\u00e4@a.test'", "server.mail.sender"),
    ],
)
def test_mail_that_could_not_be_sent_is_refused_when_the_file_is_read(
    refuse: Fail, said: str, path: str
) -> None:
    error = refuse(f"server:\n  mail: {{{said}}}")

    assert [problem.path for problem in error.problems] == [path]


def test_signing_up_without_mail_is_said(read: Parse) -> None:
    text = HOST + "    sign_in: {password: {sign_up: true}}\n"
    mail = (
        "server: {mail: {host: mail.test, sender: gate@mail.test}, allow_loopback_upstreams: true}"
    )
    [warning] = [each for each in read(text).warnings if "sign_up" in each]

    assert "server.mail" in warning
    assert not any(
        "sign_up" in each for each in read(mail + text[text.index("\nhosts") :]).warnings
    )


def test_mail_never_carries_a_password_in_the_clear(read: Parse, refuse: Fail) -> None:
    mail = "host: mail.test, sender: gate@mail.test, username: gate, password: {env: P}"
    environ = {"P": "secret"}

    settings = read(f"server: {{mail: {{{mail}}}}}", environ).server.mail
    error = refuse(
        f"server:\n  mail: {{{mail}, security: none}}".replace("mail.test", "localhost", 1), environ
    )
    nameless = mail.replace("username: gate, ", "")
    unnamed = refuse(f"server: {{mail: {{{nameless}}}}}", environ)

    assert settings is not None
    assert (settings.port, settings.security) == (587, "starttls")
    assert error.problems[0].path == "server.mail.security"
    assert unnamed.problems[0].path == "server.mail.password"


@pytest.mark.requirement("A-17")
def test_a_token_life_that_makes_clients_refresh_every_call_is_refused(
    read: Parse, refuse: Fail
) -> None:
    assert read(HOST + "    tokens: {access_seconds: 360}\n").hosts[0].tokens.access_seconds == 360

    (problem,) = refuse(HOST + "    tokens: {access_seconds: 359}\n").problems

    assert problem.message == "must be from 360 to 86400"


def test_password_sign_in_is_a_switch_or_a_mapping(read: Parse, refuse: Fail) -> None:
    spelled = read(HOST + "    sign_in: {password: {sign_up: true}}\n").hosts[0].sign_in.password

    assert spelled is not None
    assert (spelled.sign_up, spelled.minimum_length) == (True, 10)
    assert "true, false, or a mapping" in str(refuse(HOST + "    sign_in: {password: on}\n"))


def test_client_documents_are_added_and_dropped_by_exact_url(read: Parse, refuse: Fail) -> None:
    added = "{document: {client_id: 'https://a.test/c', redirect_uris: ['http://localhost/cb']}}"
    drop = "drop: ['https://b.test/c'], allow_hosts: [A.test]"

    (host,) = read(HOST + f"    client_documents: {{add: [{added}], {drop}}}\n").hosts
    both = refuse(HOST + f"    client_documents: {{add: [{added}], drop: ['https://a.test/c']}}\n")

    assert host.client_documents.add[0].document["client_id"] == "https://a.test/c"
    assert host.client_documents.drop == ("https://b.test/c",)
    assert host.client_documents.allow_hosts == ("a.test",)
    assert "is also in hosts[0].client_documents.drop" in str(both)


def test_rules_by_api_and_a_directory_exclude_each_other(
    read: Parse, refuse: Fail, tmp_path: Path
) -> None:
    (tmp_path / "rules").mkdir()

    (problem,) = refuse(HOST + "    policy: {by: api, directory: rules}\n").problems
    (host,) = read(HOST + "    policy: {by: api}\n").hosts

    assert "api and hosts[0].policy.directory" in problem.message
    assert host.policy is not None
    assert (host.policy.by, host.policy.directory, host.policy.git) == ("api", None, None)


def test_a_policy_directory_beside_the_file_is_found(read: Parse, tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()

    (host,) = read(HOST + "    policy: {directory: rules}\n").hosts

    assert host.policy is not None
    assert host.policy.directory == tmp_path / "rules"


def with_server(said: str) -> str:
    return HOST.replace("upstreams: true", f"upstreams: true, {said}")


@pytest.mark.parametrize(
    ("opa", "path", "message"),
    [
        ("{urls: []}", "server.opa.urls", "needs at least one URL"),
        ("{urls: ['http://o/?a=b']}", "server.opa.urls[0]", "must have no query ('?')"),
        ("{urls: ['http://o', 'http://o']}", "server.opa.urls[1]", "repeats server.opa.urls[0]"),
        (
            "{urls: ['http://o'], token: {env: TOKEN}}",
            "server.opa.token",
            "holds a character that a header cannot carry",
        ),
    ],
)
def test_opa_servers_that_could_not_be_asked_are_refused(
    refuse: Fail, opa: str, path: str, message: str
) -> None:
    refused = refuse(with_server(f"opa: {opa}"), {"TOKEN": "se\ncret"})

    (problem,) = refused.problems
    assert (problem.path, problem.line) == (path, 1)
    assert message in problem.message
    assert "cret" not in str(refused)


def test_opa_servers_decide_for_a_host_with_and_without_rules_of_its_own(
    read: Parse, tmp_path: Path
) -> None:
    (tmp_path / "rules").mkdir()
    opa = "opa: {urls: ['http://127.0.0.1:8181'], timeout_milliseconds: 250}"

    bare = read(with_server(opa) + "    policy: {engine: opa}\n")
    own = read(with_server(opa) + "    policy: {engine: opa, directory: rules}\n")

    policies = [host.policy for host in (*bare.hosts, *own.hosts)]
    assert [policy and policy.engine for policy in policies] == ["opa", "opa"]
    assert [policy and policy.directory for policy in policies] == [None, tmp_path / "rules"]
    assert bare.server.opa is not None
    assert (bare.server.opa.timeout_milliseconds, bare.server.opa.most_at_once) == (250, 64)


@pytest.mark.parametrize("url", ["file:///srv/policy", "http://localhost/policy"])
def test_a_repository_of_this_machine_needs_the_same_word_as_a_server(
    read: Parse, refuse: Fail, url: str
) -> None:
    text = "hosts:\n  - key: acme\n    origin: http://localhost:8420\n"
    policy = f"    policy: {{git: {{url: '{url}'}}}}\n"

    (problem,) = refuse(text + policy).problems
    assert "needs server.allow_loopback_upstreams, which is off" in problem.message
    assert read("server: {allow_loopback_upstreams: true}\n" + text + policy)


def test_a_repositorys_token_is_sent_over_https_only(read: Parse, refuse: Fail) -> None:
    text = "hosts:\n  - key: acme\n    origin: http://localhost:8420\n    policy:\n"
    git = "      git: {{url: '{}://git.test/p', token: {{env: TOKEN}}}}\n"

    (problem,) = refuse(text + git.format("ssh"), {"TOKEN": "t"}).problems
    assert problem.message == "is sent over https only"
    assert read(text + git.format("https"), {"TOKEN": "t"})


@pytest.mark.parametrize("kind", ["calls", "streams"])
def test_a_share_is_no_larger_than_what_it_is_a_share_of(
    kind: str, read: Parse, refuse: Fail
) -> None:
    def limits(person: int, host: int) -> str:
        most = f"upstream_{kind}_per_person: {person}, upstream_{kind}_per_host: {host}"
        return HOST.replace("server: {", f"server: {{limits: {{{most}}}, ")

    read(limits(5, 5))
    problem = refuse(limits(6, 5)).problems[0]
    assert problem.path == f"server.limits.upstream_{kind}_per_person"
    assert problem.message == f"is more than server.limits.upstream_{kind}_per_host, 5"


def test_the_file_says_where_it_gives_a_password(read: Parse) -> None:
    text = HOST.replace(
        "    servers:", "      - {email: Bob@acme.test, password: {env: P}}\n    servers:"
    )

    assert read(text, {"P": "a long password"}).password_places == {
        ("acme", "bob@acme.test"): "safeconduct.yaml, line 7"
    }


API = "{base: 'https://a.test', tools: [{name: x, request: GET /}]}"


@pytest.mark.parametrize(
    ("server", "host", "said"),
    [
        ("egress: {no_proxy: [a.test]}", "", "server.egress.no_proxy: needs server.egress.proxy"),
        ("opa: {urls: ['http://opa.test:8181']}", "", "server.opa: no host has policy.engine"),
        (
            "log_level: info",
            "client_documents: {fetch: false, allow_hosts: [a.test]}",
            "hosts[0].client_documents.allow_hosts: fetch is off",
        ),
        (
            "log_level: info",
            "servers: [{key: a, url: 'https://a.test/mcp', import: []}]",
            "hosts[0].servers[0].import: the list is empty",
        ),
        (
            "log_level: info",
            f"servers: [{{key: a, http: {API}, resources: [{{uri: 'a://x', permission: none}}]}}]",
            "hosts[0].servers[0].resources: an HTTP API has tools alone",
        ),
    ],
)
def test_what_nothing_asks_for_is_a_warning(read: Parse, server: str, host: str, said: str) -> None:
    more = f", {host}" if host else ""
    text = f"server: {{{server}}}\nhosts: [{{key: acme, origin: 'http://localhost'{more}}}]"

    assert [each for each in read(text).warnings if each.startswith(said)]


def test_what_is_asked_for_is_no_warning(read: Parse) -> None:
    text = (
        "server: {opa: {urls: ['http://opa.test:8181']}, "
        "egress: {proxy: 'http://p.test:1', no_proxy: [a.test]}}\n"
        "hosts: [{key: acme, origin: 'http://localhost', policy: {engine: opa}, "
        "client_documents: {allow_hosts: [a.test]}}]"
    )

    assert read(text).warnings == ()
