from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from safeconduct.signin import own_path

ORIGIN = "https://acme.example"


@pytest.mark.parametrize(
    "path",
    ["/account", "/consent?request=ask_1", "/consent?request=ask_1&server=tickets", "/", "/a/b#c"],
)
def test_paths_of_this_origin_are_followed(path: str) -> None:
    assert own_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        None,
        "",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "https:evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/\tevil.example",
        "/\n/evil.example",
        "\t//evil.example",
        " //evil.example",
        "/.//evil.example",
        "/a/..//evil.example",
        "/a\\..\\evil",
        "/ä",
        "/account\r\nSet-Cookie: x=1",
        "/" + "a" * 2001,
        "account",
    ],
)
def test_everything_else_leads_to_the_account_page(path: str | None) -> None:
    """Pitfall 48."""
    assert own_path(path) == "/account"


@given(st.text(alphabet="/\\.:@?#%\t\n abehtps", max_size=20))
@example("/..//evil")
def test_no_text_leads_a_browser_elsewhere(text: str) -> None:
    # Browsers drop tabs and newlines and read backslashes as slashes (WHATWG URL).
    seen = own_path(text).replace("\t", "").replace("\n", "").replace("\\", "/")

    assert urlsplit(urljoin(ORIGIN + "/login", seen)).netloc == "acme.example"
    assert not seen.startswith("//")
