"""Pages are used by the names things bear, and by nothing else."""

from __future__ import annotations

import pytest

from safeconduct.rehearsal import Missing, Page

CONSENT = """
<!doctype html><title>x</title><body>
<h1>Allow it?</h1><script>var secret = "unseen"</script>
<form method="post" action="/consent">
<input type="hidden" name="csrf" value="t&amp;k">
<fieldset><legend>Trust level</legend>
<label><input type="radio" name="level" value="low" aria-labelledby="n1" checked>
 <strong id="n1">Low</strong> reads</label>
<label><input type="radio" name="level" value="medium" aria-labelledby="n2">
 <strong id="n2">Medium</strong> writes</label>
<label><input type="radio" name="level" value="high" aria-labelledby="n3" disabled>
 <strong id="n3">High</strong> destroys</label>
</fieldset>
<label for="d">Duration</label>
<select id="d" name="duration"><option value="1h">1 hour</option><option selected>1 day</option>
</select>
<label>Note <input name="note" value=""></label>
<button name="do" value="deny">Deny</button><button name="do" value="allow">Allow</button>
<button disabled>Later</button>
</form>
<form id="out" method="post" action="logout"><input type="hidden" name="csrf" value="o"></form>
<button form="out">not <b>you</b>?</button>
<form action="/end" method="post"><button name="c" value="1">End now<span> Tickets</span></button>
</form>
<button>Nowhere</button>
"""
BASE = "http://localhost:1/consent?request=r"


def page() -> Page:
    return Page(CONSENT, url=BASE)


def test_what_nobody_touches_is_sent_as_it_stands() -> None:
    sent = page().press("Deny")

    assert (sent.method, sent.url) == ("POST", "http://localhost:1/consent")
    assert dict(sent.fields) == {
        "csrf": "t&k",
        "level": "low",
        "duration": "1 day",
        "note": "",
        "do": "deny",
    }


def test_fields_and_choices_are_entered_by_name() -> None:
    entries = {"Trust level": "Medium", "Duration": "1 hour", "Note": "for T-7"}
    sent = page().press("Allow", entries)

    assert dict(sent.fields) | {"csrf": ""} == {
        "csrf": "",
        "level": "medium",
        "duration": "1h",
        "note": "for T-7",
        "do": "allow",
    }


def test_choices_say_which_are_closed() -> None:
    assert page().choices("Trust level") == {"Low": True, "Medium": True, "High": False}
    assert page().choices("Level") == {}


@pytest.mark.parametrize(
    ("button", "entries"),
    [
        ("Allow", {"Trust level": "High"}),
        ("Allow", {"Trust level": "Highest"}),
        ("Allow", {"Duration": "1h"}),
        ("Allow", {"note": "x"}),
        ("allow", {}),
        ("Later", {}),
        ("Nowhere", {}),
        ("End now Documents", {}),
    ],
)
def test_what_a_person_could_not_do_cannot_be_done(button: str, entries: dict[str, str]) -> None:
    with pytest.raises(Missing):
        page().press(button, entries)


def test_a_button_belongs_to_the_form_it_names() -> None:
    sent = page().press("not you?")

    assert (sent.url, dict(sent.fields)) == ("http://localhost:1/logout", {"csrf": "o"})


def test_a_button_is_found_by_its_first_words_but_not_by_half_of_one() -> None:
    assert page().has_button("End now")
    assert page().has_button("End now Tickets")
    assert not page().has_button("End n")


def test_text_is_what_can_be_read() -> None:
    assert page().text.startswith("Allow it? Trust level Low reads")
    assert "unseen" not in page().text
