"""Which URIs may be of a template, in whatever spelling."""

from __future__ import annotations

import pytest

from safeconduct.upstreams import fits

TEMPLATE = "docs://a/{id}/x{?rev}"


@pytest.mark.parametrize(
    "uri",
    [
        "docs://a/1/x",
        "docs://a//x",
        "docs://a/1/2/x?rev=3",
        "DOCS://A/1/X",
        "docs://%61/1/x",
        "docs://%2561/1/%78",
        "docs://\uff41/1/\uff58",
        "docs://a%2F1%2fx",
    ],
)
def test_a_uri_that_a_server_may_take_for_one_of_the_template_fits(uri: str) -> None:
    assert fits(TEMPLATE, uri)
    assert fits(uri, uri.upper())


@pytest.mark.parametrize("uri", ["docs://b/1/x", "docs://a/1/y", "docs://a", "doc://a/1/x", ""])
def test_another_uri_does_not(uri: str) -> None:
    assert not fits(TEMPLATE, uri)


def test_a_long_hostile_uri_is_looked_at_in_a_moment() -> None:
    assert not fits("docs://{a}b{c}d{e}f", "docs://" + "%25" * 700)
