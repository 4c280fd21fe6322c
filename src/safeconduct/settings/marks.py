"""What the values of the model say about themselves: meaning, unit, limits and shape.

The reader obeys these marks and the documentation is generated from them, so neither can
say something the other does not.
"""

from __future__ import annotations

from safeconduct.core.model import Value
from safeconduct.settings.forms import Form, database


class About(Value, frozen=True):
    """What a setting is for.

    Attributes:
        text: One sentence for the documentation.
        unit: What a number counts, such as `seconds`.
        same_as: The sibling whose value is used when this one is left out.
        default: Words for a default that the value itself does not show.
    """

    text: str
    unit: str = ""
    same_as: str = ""
    default: str = ""


class Range(Value, frozen=True):
    """The smallest and the largest whole number allowed."""

    least: int
    most: int


class Shape(Value, frozen=True):
    """The shape a text must have, and what to call it."""

    form: Form
    word: str


class Switch(Value, frozen=True):
    """`true` stands for all defaults and `false` for none."""


class SecretUrl(Value, frozen=True):
    """A secret that may be written out as long as its URL holds no password."""

    form: Form = database
