"""E-mail addresses: the one spelling in which they are stored, and what can be one.

The file, pages, commands and mail ask here, so that whoever one of them lets in, the others
know. Only a mail proves that an address is somebody's.
"""

from __future__ import annotations

import re
import string
import unicodedata

LONGEST_EMAIL = 254  # RFC 5321 section 4.5.3.1.3, less the angle brackets
# Local parts have 64 characters (section 4.5.3.1.1); without quotes, lists, comments and routes.
_EMAIL = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[^\s@<>,;:\"()\[\]\\/]{1,189}")
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def normal_email(address: str) -> str:
    """Return the one spelling under which an address is stored and compared.

    Only ASCII letters lose their case: Unicode folding would make one address of two that
    different people may own (the Kelvin sign folds to k, sharp s to ss).
    """
    return address.strip().translate(_ASCII_LOWER)


def is_email(address: str) -> bool:
    """Say whether a text could be one mail address: no display name, no list, nothing unseen."""
    if len(address) > LONGEST_EMAIL or _EMAIL.fullmatch(address) is None:
        return False
    return all(unicodedata.category(character)[0] != "C" for character in address)


def takes_mail(address: str) -> bool:
    """Say whether mail can be sent there; we do not speak SMTPUTF8 (RFC 6531)."""
    return is_email(address) and address.isascii()
