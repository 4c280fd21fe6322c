"""A page as a person meets it: text, fields and buttons by their accessible names.

A small part of "Accessible Name and Description Computation 1.2": aria-labelledby,
aria-label, `<label>`, a button's own text, and a `<legend>` for the group. Ids, field names
and classes are the page's private business and cannot be asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from urllib.parse import urljoin

from safeconduct.core.model import Value

_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track"}
)
_UNSEEN = frozenset({"script", "style", "title", "head"})
_INLINE = frozenset({"a", "abbr", "b", "code", "em", "i", "small", "span", "strong", "time"})
_CONTROLS = frozenset({"input", "select", "textarea"})


class Missing(Exception):
    """The page has nothing of that name, or it cannot be used."""


class Submission(Value, frozen=True):
    """What pressing a button sends."""

    method: str
    url: str
    fields: tuple[tuple[str, str], ...]


class Node:
    """An element of the page."""

    def __init__(self, tag: str, attributes: Mapping[str, str | None], parent: Node | None) -> None:
        self.tag = tag
        self.attributes = {name: value or "" for name, value in attributes.items()}
        self.parent = parent
        self.children: list[Node | str] = []

    def get(self, name: str) -> str:
        return self.attributes.get(name, "")

    def has(self, name: str) -> bool:
        return name in self.attributes

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.walk()

    def enclosing(self, tag: str) -> Node | None:
        node = self.parent
        while node is not None and node.tag != tag:
            node = node.parent
        return node

    @property
    def text(self) -> str:
        """The words in it, with single blanks between."""
        return " ".join("".join(self.words()).split())

    def words(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, str):
                yield child
            elif child.tag in _INLINE:
                yield from child.words()
            elif child.tag not in _UNSEEN:
                yield from (" ", *child.words(), " ")


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("", {}, None)
        self._at = self.root

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, dict(attrs), self._at)
        self._at.children.append(node)
        if tag not in _VOID:
            self._at = node

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._at.children.append(Node(tag, dict(attrs), self._at))

    def handle_endtag(self, tag: str) -> None:
        node = self._at if self._at.tag == tag else self._at.enclosing(tag)
        if node is not None and node.parent is not None:
            self._at = node.parent

    def handle_data(self, data: str) -> None:
        self._at.children.append(data)


class Page:
    """One answer of a server, drawn."""

    def __init__(self, html: str, *, url: str, status: int = 200) -> None:
        builder = _Builder()
        builder.feed(html)
        builder.close()
        self.url = url
        self.status = status
        self._nodes = list(builder.root.walk())
        self.text = builder.root.text

    def has_button(self, name: str) -> bool:
        return bool(self._buttons(name))

    def choices(self, group: str) -> dict[str, bool]:
        """Return the radio buttons of a group by name, and whether each can be chosen."""
        return {
            self._name(node): not node.has("disabled")
            for node in self._nodes
            if node.get("type") == "radio" and self._group(node) == group
        }

    def press(self, button: str, entries: Mapping[str, str] | None = None) -> Submission:
        """Fill a form in and press a button of it.

        Args:
            button: Its name, or the first words of it.
            entries: What to enter, by the field's or radio group's name.

        Raises:
            Missing: If there is no such button or field, or more than one, or it is disabled.
        """
        pressed = _only(self._buttons(button), f"button {button!r}")
        form = self._form_of(pressed)
        if form is None:
            raise Missing(f"the button {button!r} belongs to no form")
        mine = [n for n in self._nodes if n.tag in _CONTROLS and self._form_of(n) is form]
        chosen = {id(node): value for node in mine if (value := _preset(node)) is not None}
        for name, value in (entries or {}).items():
            self._enter(mine, chosen, name, value)
        fields = [
            (node.get("name"), chosen[id(node)])
            for node in mine
            if id(node) in chosen and node.get("name")
        ]
        if pressed.get("name"):
            fields.append((pressed.get("name"), pressed.get("value")))
        return Submission(
            method=(form.get("method") or "get").upper(),
            url=urljoin(self.url, form.get("action") or self.url),
            fields=tuple(fields),
        )

    def _enter(self, mine: list[Node], chosen: dict[int, str], name: str, value: str) -> None:
        radios = [
            node for node in mine if node.get("type") == "radio" and self._group(node) == name
        ]
        if radios:
            wanted = [node for node in radios if self._name(node) == value]
            radio = _only(wanted, f"choice {value!r} of {name!r}")
            for node in radios:
                chosen.pop(id(node), None)
            chosen[id(radio)] = radio.get("value")
            return
        field = _only([node for node in mine if self._name(node) == name], f"field {name!r}")
        if field.tag == "select":
            options = [node for node in field.walk() if node.tag == "option"]
            option = _only([node for node in options if node.text == value], f"option {value!r}")
            chosen[id(field)] = _option_value(option)
        else:
            chosen[id(field)] = value

    def _buttons(self, name: str) -> list[Node]:
        buttons = [node for node in self._nodes if node.tag == "button"]
        exact = [node for node in buttons if self._name(node) == name]
        return exact or [node for node in buttons if self._name(node).startswith(f"{name} ")]

    def _form_of(self, node: Node) -> Node | None:
        return self._by_id(node.get("form")) if node.has("form") else node.enclosing("form")

    def _name(self, node: Node) -> str:
        if node.has("aria-labelledby"):
            named = (self._by_id(one) for one in node.get("aria-labelledby").split())
            return " ".join(one.text for one in named if one is not None)
        if node.has("aria-label"):
            return node.get("aria-label")
        if node.tag == "button":
            return node.text
        around = node.enclosing("label")
        if around is not None:
            return around.text
        own = node.get("id")
        labels = [
            one for one in self._nodes if one.tag == "label" and own and one.get("for") == own
        ]
        return labels[0].text if labels else ""

    def _group(self, node: Node) -> str:
        around = node.enclosing("fieldset")
        if around is None:
            return ""
        return next((one.text for one in around.walk() if one.tag == "legend"), "")

    def _by_id(self, name: str) -> Node | None:
        return next((node for node in self._nodes if node.get("id") == name), None)


def _only(found: list[Node], what: str) -> Node:
    if len(found) != 1:
        raise Missing(f"the page has {len(found) or 'no'} {what}")
    if found[0].has("disabled"):
        raise Missing(f"the {what} is disabled")
    return found[0]


def _preset(node: Node) -> str | None:
    """Return what a control sends if nobody touches it; None for nothing."""
    if node.has("disabled"):
        return None
    if node.tag == "select":
        options = [one for one in node.walk() if one.tag == "option"]
        selected = [one for one in options if one.has("selected")] or options[:1]
        return _option_value(selected[0]) if selected else None
    if node.tag == "textarea":
        return node.text
    kind = node.get("type")
    if kind in {"radio", "checkbox"}:
        return (node.get("value") or "on") if node.has("checked") else None
    return None if kind in {"submit", "button", "image", "reset"} else node.get("value")


def _option_value(option: Node) -> str:
    return option.get("value") if option.has("value") else option.text
