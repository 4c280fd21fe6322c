"""What a host's rules are made to call where the interpreter's own answer is not OPA's.

Some built-ins answer as OPA's do for most of what they can be given (`sprintf`, `lower`). For all
else they fail here, and what fails denies: `docs/policies.md` says for what. It is bounded, so
that a rule without a loop stays one.
"""

from __future__ import annotations

import re
from typing import Any

from safeconduct.policy.forms import found
from safeconduct.policy.rego import BundleError

GUARDED = {
    ("sprintf",): "data.safeconduct.members.written",
    ("glob", "match"): "data.safeconduct.members.fits",
    ("upper",): "data.safeconduct.members.raised",
    ("lower",): "data.safeconduct.members.lowered",
    ("indexof",): "data.safeconduct.members.found_at",
    ("net", "cidr_contains"): "data.safeconduct.members.within",
    ("json", "marshal"): "data.safeconduct.members.marshalled",
    ("to_number",): "data.safeconduct.members.numbered",
    ("semver", "is_valid"): "data.safeconduct.members.versioned",
}
_LITERAL = frozenset({"String", "RawString"})
_TOLD_FORMAT = re.compile(r"(?:[^%]|%%|%[dsv])*")
_LITERALLY = re.compile(r"\\.|\[[^\]]*\]", re.DOTALL)
_EMPTY_CHOICE = re.compile(r"[{,][,}]")

MEMBERS = (
    "members.rego",
    r"""package safeconduct.members

of(x) := x if type_name(x) in {"array", "object", "set"}

same(x) := x

fits(pattern, delimiters, value) := glob.match(pattern, delimiters, value) if {
	is_string(pattern)
	has_no_empty_choice(regex.replace(pattern, `\\.|\[[^\]]*\]`, "x"))
} else := to_number("an empty choice")

has_no_empty_choice(pattern) if not contains(pattern, "{")

has_no_empty_choice(pattern) if not regex.match(`[{,][,}]`, pattern)

written(format, values) := sprintf(format, values) if {
	tells_all(format, values)
	every value in values { not is_negative(value) }
} else := sprintf(replace(format, "%d", "%v"), values) if {
	tells_all(format, values)
	not contains(format, "%%")
} else := to_number("values that do not fit the format")

raised(text) := upper(text) if {
	not regex.match(`[\x{DF}\x{149}\x{19B}\x{1F0}\x{264}\x{390}\x{3B0}\x{587}\x{1C8A}]`, text)
	not regex.match(`[\x{1E96}-\x{1E9A}\x{1F50}-\x{1FFF}\x{FB00}-\x{FB17}]`, text)
	not has_new_letters(text)
} else := to_number("letters that have several in capitals")

lowered(text) := lower(text) if {
	not regex.match(`[\x{130}\x{3A3}\x{1C89}]`, text)
	not has_new_letters(text)
} else := to_number("letters whose small ones depend on others")

has_new_letters(text) if regex.match(`[\x{A7CB}-\x{A7DC}\x{10500}-\x{1EFFF}]`, text)

found_at(text, part) := indexof(text, part) if {
	part != ""
} else := to_number("nothing to look for")

within(network, address) := net.cidr_contains(network, address) if {
	not is_mapped(network)
	not is_mapped(address)
} else := to_number("addresses of version 4 in those of version 6")

is_mapped(text) if regex.match(`(?i)(^|:)0*ffff:|:[^/]*\.`, text)

marshalled(value) := text if {
	text := json.marshal(value)
	not regex.match(`[<>&\x{2028}\x{2029}]`, text)
} else := to_number("a text with characters that may be escaped")

numbered(value) := to_number(value) if {
	not has_blanks(value)
} else := to_number("a number with blanks")

has_blanks(value) if {
	is_string(value)
	regex.match(`\s`, value)
}

versioned(text) := semver.is_valid(text) if {
	not startswith_v(text)
} else := to_number("a letter before the version")

startswith_v(text) if {
	is_string(text)
	startswith(text, "v")
}

tells_all(format, values) if {
	is_string(format)
	is_array(values)
	count(format) <= 4096
	count(values) <= 64
	regex.match(`^([^%]|%%|%[dsv])*$`, format)
	verbs := [verb | some verb in regex.find_n(`%[%dsv]`, format, -1); verb != "%%"]
	count(verbs) == count(values)
	every place, value in values { tells(verbs[place], value) }
}

tells(verb, value) if {
	verb in {"%s", "%v"}
	type_name(value) in {"string", "boolean", "null"}
}

tells(verb, value) if {
	verb in {"%d", "%v"}
	is_whole(value)
}

tells("%v", value) if {
	is_number(value)
	abs(value) >= 0.0001
	abs(value) < 1000000
}

tells(verb, value) if {
	verb in {"%s", "%v"}
	type_name(value) in {"array", "object", "set"}
	value != set()
	count(value) <= 64
	every key, member in value {
		is_plain(key)
		is_plain(member)
	}
}

is_whole(value) if {
	is_number(value)
	value == floor(value)
	abs(value) < 9007199254740992
}

is_plain(value) if is_whole(value)

is_plain(value) if type_name(value) in {"boolean", "null"}

is_plain(value) if {
	is_string(value)
	regex.match(`^[ !#-%'-;=?-\[\]-~]*$`, value)
}

is_negative(value) if {
	is_number(value)
	value < 0
}
""",
)


def check_calls(file: str, tree: Any) -> None:
    """Refuse what is written out in a call and has another answer in OPA.

    Raises:
        BundleError: At the first; the message names file and line.
    """
    for call in (each["Call"] for each in found(tree, "Call")):
        where, name = f"{file}:{call['span']['line']}", called(call)
        given = literal(call)
        if name == ("sprintf",) and given is not None and not _TOLD_FORMAT.fullmatch(given):
            raise BundleError(
                f"{where}: a format has %s, %d, %v and %% here and nothing else; write numbers "
                "that have to look otherwise as texts first (format_int, round)"
            )
        if name == ("glob", "match") and given is not None and has_empty_choice(given):
            raise BundleError(
                f"{where}: a choice of nothing, as in `{{,a}}`, is not supported; ask for each "
                "pattern by itself"
            )


def called(call: Any) -> tuple[str, ...]:
    """Return the name of what is called, if it is a plain name or one with a dot."""
    match call["fcn"]:
        case {"Var": {"value": str(name)}}:
            return (name,)
        case {"RefDot": {"refr": {"Var": {"value": str(first)}}, "field": [_, str(name)]}}:
            return first, name
        case _:
            return ()


def literal(call: Any) -> str | None:
    """Return the first thing that is given, if it is written out."""
    if call["params"]:
        ((kind, inner),) = call["params"][0].items()
        if kind in _LITERAL:
            return str(inner["value"])
    return None


def has_empty_choice(pattern: str) -> bool:
    """Tell whether one of the choices in braces is nothing, as in `{,a}`."""
    plain = _LITERALLY.sub("x", pattern)
    return "{" in plain and _EMPTY_CHOICE.search(plain) is not None
