from __future__ import annotations

import pytest

from safeconduct.signin import form_token, is_own_form

ORIGIN = "https://acme.example"
COOKIE = "sc_bs_cookie"
PURPOSE = "consent ask_1"
TOKEN = form_token(COOKIE, purpose=PURPOSE)


@pytest.mark.requirement("A-26", "SEC-03")
@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-origin", "origin": "null"}, True),
        ({"origin": ORIGIN}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": ""}, False),
        ({"sec-fetch-site": "cross-site", "origin": ORIGIN}, False),
        ({"origin": "null"}, False),
        ({"origin": "https://evil.example"}, False),
        ({"origin": f"{ORIGIN}.evil.example"}, False),
        ({"origin": "http://acme.example"}, False),
    ],
)
def test_a_form_comes_from_our_own_page(headers: dict[str, str], ours: bool) -> None:
    """Pitfall 13."""
    said = is_own_form(headers, origin=ORIGIN, cookie=COOKIE, token=TOKEN, purpose=PURPOSE)

    assert said is ours


@pytest.mark.requirement("A-26", "SEC-03")
@pytest.mark.parametrize(
    ("cookie", "token"),
    [
        (COOKIE, None),
        (COOKIE, ""),
        (COOKIE, "é"),
        (None, TOKEN),
        ("", form_token("", purpose=PURPOSE)),
        ("sc_bs_other", TOKEN),
        (COOKIE, form_token("sc_bs_other", purpose=PURPOSE)),
        (COOKIE, form_token(COOKIE, purpose="consent ask_2")),
        (COOKIE, form_token(COOKIE, purpose="sign_out")),
        (COOKIE, COOKIE),
    ],
)
def test_a_token_is_for_one_browser_and_one_purpose(cookie: str | None, token: str | None) -> None:
    """Pitfall 13."""
    assert not is_own_form({}, origin=ORIGIN, cookie=cookie, token=token, purpose=PURPOSE)
