"""What a few header values mean, read in one place for every address that takes them.

Two readers of one value sooner or later disagree, and whoever is let in by one and judged by the
other has a way around. Media types (RFC 9110 section 8.3.1), `Authorization` (section 11.6.2)
and the credentials of HTTP Basic (RFC 7617, encoded as RFC 6749 section 2.3.1 says).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

from safeconduct.core.encoding import from_base64
from safeconduct.core.forms import form_decoded

_CREDENTIALS = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) +([\x21-\x7e]+)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BLANKS = " \t"  # RFC 9110 section 5.6.3
_UTF_8 = frozenset({"", "utf-8", "utf8", "us-ascii"})


class Media(NamedTuple):
    """A media type, and the character sets that are named with it, all in lower case."""

    type: str
    charsets: frozenset[str] = frozenset()

    @property
    def utf_8(self) -> bool:
        """Whether nothing but UTF-8 is named."""
        return self.charsets <= _UTF_8


class Credentials(NamedTuple):
    """What an Authorization header holds; the scheme is in lower case."""

    scheme: str
    value: str


class BasicCredentials(NamedTuple):
    """A name and its secret, as they were before they were encoded."""

    name: str
    secret: str


@functools.lru_cache(maxsize=256)  # senders have one of a handful of values, always
def media_of(content_type: str) -> Media:
    """Read a Content-Type; what is not there, or is not ASCII, is the media type ""."""
    if not content_type.isascii():
        return Media("")
    kind, *parameters = content_type.lower().split(";")
    named = (each.strip(_BLANKS).partition("=") for each in parameters)
    charsets = (value.strip('"') for name, _, value in named if name == "charset")
    return Media(kind.strip(_BLANKS), frozenset(charsets))


def credentials_of(values: Sequence[str]) -> Credentials | None:
    """Read the values of all Authorization headers; None if there is none.

    Raises:
        ValueError: If there are several, or what is there are no credentials.
    """
    if not values:
        return None
    found = _CREDENTIALS.fullmatch(values[0]) if len(values) == 1 else None
    if found is None:
        raise ValueError("the Authorization header holds no credentials, or is there twice")
    return Credentials(found[1].lower(), found[2])


def basic_of(value: str) -> BasicCredentials:
    """Read the credentials of HTTP Basic, each of which is form-encoded.

    Raises:
        ValueError: If they are anything else, or spelled in another way.
    """
    name, colon, secret = from_base64(value).decode("utf-8").partition(":")
    read = BasicCredentials(form_decoded(name), form_decoded(secret))
    if not colon or any(_CONTROL.search(text) for text in read):
        raise ValueError("the credentials are no name and secret")
    return read
