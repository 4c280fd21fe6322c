"""What is made of an immutable value is made once for it, and never lent to another."""

from __future__ import annotations

from safeconduct.core.derived import Derived


class Named:
    """Equal to every other of its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Named) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


def test_it_is_made_once_for_an_object_and_anew_for_its_equal() -> None:
    made = []

    def make(named: Named) -> list[str]:
        made.append(named)
        return [named.name]

    derived, one, twin = Derived(make), Named("a"), Named("a")

    assert derived(one) is derived(one)
    assert derived(twin) == derived(one)
    assert derived(twin) is not derived(one)
    assert [id(each) for each in made] == [id(one), id(twin)]


def test_an_object_that_is_gone_lends_nothing_to_the_next_in_its_place() -> None:
    derived = Derived(lambda named: named.name, most=2)

    for number in range(1000):  # each may be given the memory of one before
        assert derived(Named(str(number))) == str(number)

    assert len(derived._made) == 2
