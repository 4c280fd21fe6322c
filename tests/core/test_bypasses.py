"""What goes round the forward proxy: one spelling, and nothing that covers nothing in silence."""

from __future__ import annotations

import pytest

from safeconduct.core.bypasses import bypasses_of, read_bypass, read_variable


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("Corp.Example", "corp.example"),
        (".corp.example", "corp.example"),
        ("corp.example.", "corp.example"),
        ("localhost", "localhost"),
        ("10.1.2.3", "10.1.2.3"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3/32", "10.1.2.3"),
        ("2001:DB8::1", "2001:db8::1"),
        ("2001:db8::/32", "2001:db8::/32"),
    ],
)
def test_names_addresses_and_networks_have_one_spelling(text: str, spelled: str) -> None:
    assert read_bypass(text) == spelled
    assert read_bypass(spelled) == spelled


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("*.corp.example", "without '*'"),
        ("*", "without '*'"),
        ("https://corp.example", "leave out the scheme"),
        ("corp.example/path", "a network has no bits"),
        ("10.1.2.3/8", "a network has no bits"),
        ("corp.example:8080", "leave the port out"),
        ("[::1]:80", "leave the port out"),
        ("10.1", "such as 10.1.2.3"),
        ("0x7f.1", "such as 10.1.2.3"),
        ("a b", "such as corp.example"),
        ("", "such as corp.example"),
        ("..", "such as corp.example"),
    ],
)
def test_the_rest_is_refused_with_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match="must be a name such as") as refused:
        read_bypass(text)

    assert hint in str(refused.value)


@pytest.mark.parametrize(
    ("spelled", "host", "covered"),
    [
        ("corp.example", "corp.example", True),
        ("corp.example", "a.b.corp.example", True),
        ("corp.example", "notcorp.example", False),
        ("corp.example", "example", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "::ffff:10.1.2.3", True),
        ("10.1.2.3", "x.10.1.2.3", False),
        ("10.0.0.0/8", "10.255.0.1", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.0.0.0/8", "corp.example", False),
        ("2001:db8::/32", "2001:db8::7", True),
    ],
)
def test_a_name_covers_what_is_below_it_and_a_network_its_addresses(
    spelled: str, host: str, covered: bool
) -> None:
    assert bypasses_of([spelled]).cover(host) is covered


def test_the_variable_is_read_as_other_programs_write_it() -> None:
    understood, other = read_variable("corp.example, *.far.example,10.0.0.0/8,,*x,a:80")

    assert understood == ("corp.example", "far.example", "10.0.0.0/8")
    assert other == ("*x", "a:80")
    assert bypasses_of(read_variable("*")[0]).cover("anything.example")
