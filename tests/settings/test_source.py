"""YAML is bounded before anything is built from it."""

from __future__ import annotations

import time

from tests.settings.conftest import HOST, Fail, Parse


def test_a_file_of_one_mebibyte_is_read_and_one_byte_more_is_not(read: Parse, refuse: Fail) -> None:
    filler = "#" * (1024 * 1024 - len("hosts: []\n"))

    assert read("hosts: []\n" + filler).hosts == ()
    assert refuse("hosts: []\n#" + filler).problems[0].message == "the file is larger than 1 MiB"


def test_an_anchor_may_be_used_again(read: Parse) -> None:
    text = HOST.replace("groups: [engineering]", "groups: &g [engineering]").replace(
        "    servers:", "      - {email: bob@acme.test, groups: *g}\n    servers:"
    )

    assert read(text).hosts[0].people[1].groups == ("engineering",)


def test_aliases_cannot_multiply_without_bound(refuse: Fail) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    started = time.thread_time()

    problem = refuse("\n".join(lines)).problems[0]

    assert "more than 100000 values" in problem.message
    assert time.thread_time() - started < 5


def test_thirty_two_levels_are_read_and_one_more_is_not(refuse: Fail) -> None:
    at_the_limit = refuse("x: " + "[" * 31 + "]" * 31)
    beyond = refuse("x: " + "[" * 32 + "]" * 32)

    assert at_the_limit.problems[0].message == "unknown key 'x'"
    assert "nested deeper than 32 levels" in beyond.problems[0].message


def test_aliases_do_not_hide_depth(refuse: Fail) -> None:
    text = "a: &a " + "[" * 20 + "]" * 20 + "\nb: " + "[" * 20 + "*a" + "]" * 20

    assert "nested deeper" in refuse(text).problems[0].message


def test_a_duplicate_inside_names_its_setting_and_the_first_line(refuse: Fail) -> None:
    problem = refuse(HOST.replace("    people:", "    key: again\n    people:")).problems[0]

    assert (problem.path, problem.line) == ("hosts[0]", 5)
    assert problem.message == "the key 'key' stands already at line 3"
