"""Which of a host's rules refused is told, also beside one that the engine fails on."""

from __future__ import annotations

from safeconduct.policy import Bundle, deciding_rules

PANICS = 'deny contains {"reason": "x"} if regex.template_match("a{.*}c{x}", input.name, "{", "}")'


def test_a_rule_that_the_engine_panics_on_is_named_and_the_others_too() -> None:
    modules = (
        ("host/a.rego", f"package safeconduct.host.a\n\n{PANICS}\n"),
        ("host/b.rego", 'package safeconduct.host.b\n\ndeny contains {"reason": "y"} if true\n'),
    )
    bundle = Bundle.of(modules=(*Bundle.shipped().modules, *modules), data={})

    assert list(deciding_rules(bundle, b'{"name": "axxcx"}')) == [
        "data.safeconduct.host.a.deny fails: the policy engine cannot cope with it",
        "data.safeconduct.host.b.deny (host/b.rego:3)",
    ]
    assert list(deciding_rules(bundle, b'{"name": 1}'))[1:] == [
        "data.safeconduct.host.b.deny (host/b.rego:3)"
    ]
