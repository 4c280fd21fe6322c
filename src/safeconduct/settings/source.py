"""YAML text as a tree that remembers its lines, without YAML's surprises.

Built from PyYAML's events, never from its constructors: no tags, no merge keys, no implicit
dates or octal numbers, and `yes` stays the text "yes" (YAML 1.2.2 section 10.3, core schema).
Size, depth and the number of nodes after aliases are bounded before anything is built.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from safeconduct.core.model import Value
from safeconduct.settings.problems import Mark, Problems, join, quoted

MOST_BYTES = 1024 * 1024
_MIB = 1024 * 1024


_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
# Parser messages quote pieces of the text; single characters and token names such as
# '<block end>' may stay.
_QUOTED = re.compile(r"""'([^']*)(?:'|$)|"([^"]*)(?:"|$)""")
_TAB = "found character '\\t'"


class Limits(Value, frozen=True):
    """How large a text may be; aliases count as what they stand for."""

    most_bytes: int
    most_nodes: int
    deepest: int


CONFIGURATION = Limits(most_bytes=MOST_BYTES, most_nodes=100_000, deepest=32)
DOCUMENT = Limits(most_bytes=16 * _MIB, most_nodes=1_000_000, deepest=64)
# In C where that was built: documents of some size take seconds instead of minutes.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Scalar(Value, frozen=True):
    """One word or text; `plain` is False when it was quoted or a block."""

    mark: Mark
    text: str
    plain: bool


class Sequence(Value, frozen=True):
    """A list."""

    mark: Mark
    items: tuple[Node, ...]


class Mapping(Value, frozen=True):
    """Keys and values in the order of the file."""

    mark: Mark
    entries: tuple[tuple[Scalar, Node], ...]


Node = Scalar | Sequence | Mapping


class Unreadable(Exception):
    """The text stops making sense here; the problem has been noted."""


def compose(text: str, problems: Problems, limits: Limits = CONFIGURATION) -> Node:
    """Read one YAML document.

    Raises:
        Unreadable: If the text is no YAML, too large, or uses what is not supported.
    """
    builder = _Builder(problems, limits)
    if len(text.encode("utf-8", "surrogatepass")) > limits.most_bytes:
        large = f"the file is larger than {limits.most_bytes // _MIB} MiB"
        raise builder.stop(Mark(line=1, column=1), large)
    loader = yaml.SafeLoader if limits is CONFIGURATION else _Loader
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        place = _mark(error.problem_mark or error.context_mark)
        raise builder.stop(place, f"this is not valid YAML: {_wrong(error.problem)}") from None
    except yaml.reader.ReaderError as error:
        before = text[: int(error.position)]
        mark = Mark(line=before.count("\n") + 1, column=len(before) - before.rfind("\n"))
        raise builder.stop(mark, "this character is not allowed in YAML") from None
    except (ValueError, OverflowError):
        # The scanner lets escapes beyond Unicode ("\UFFFFFFFF") and endless version
        # numbers through to chr() and int().
        raise builder.stop(Mark(line=1, column=1), "an escape is not a character") from None
    return builder.finish()


def has_control(text: str) -> bool:
    """Whether the text holds what no setting needs: controls or half characters."""
    return _CONTROL.search(text) is not None


class _Frame:
    """A list or mapping under construction, with the cost of repeating it by alias."""

    def __init__(self, mark: Mark, anchor: str | None, *, mapping: bool) -> None:
        self.mark = mark
        self.anchor = anchor
        self.mapping = mapping
        self.children: list[Node] = []
        self.seen: dict[str, int] = {}
        self.nodes = 1
        self.height = 1

    def step(self) -> str | int:
        """Return the key or index whose value comes next."""
        if not self.mapping:
            return len(self.children)
        key = self.children[-1] if len(self.children) % 2 else None
        return key.text if isinstance(key, Scalar) else "?"

    def close(self) -> Node:
        if not self.mapping:
            return Sequence(mark=self.mark, items=tuple(self.children))
        pairs = zip(self.children[::2], self.children[1::2], strict=True)
        entries = tuple((key, value) for key, value in pairs if isinstance(key, Scalar))
        return Mapping(mark=self.mark, entries=entries)


class _Builder:
    def __init__(self, problems: Problems, limits: Limits) -> None:
        self._problems = problems
        self._limits = limits
        self._frames: list[_Frame] = []
        self._anchors: dict[str, tuple[Node, int, int]] = {}
        self._root: Node | None = None
        self._nodes = 0

    def stop(self, mark: Mark, message: str) -> Unreadable:
        self._problems.add("", mark, message)
        return Unreadable(message)

    def finish(self) -> Node:
        if self._root is None:
            raise self.stop(Mark(line=1, column=1), "the file is empty")
        return self._root

    def take(self, event: yaml.Event) -> None:
        mark = _mark(event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise self.stop(mark, "tags (a word that starts with '!') are not supported; quote it")
        match event:
            case yaml.ScalarEvent():
                self._scalar(event, mark)
            case yaml.AliasEvent():
                self._alias(event, mark)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._open(event, mark)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                frame = self._frames.pop()
                self._place(frame.close(), frame.anchor, frame.nodes, frame.height)
            case yaml.DocumentStartEvent() if self._root is not None:
                raise self.stop(mark, "the file holds a second document; keep one")

    def _scalar(self, event: yaml.ScalarEvent, mark: Mark) -> None:
        if has_control(event.value):
            raise self.stop(mark, "this text holds a control character")
        self._count(1, mark)
        plain = not event.style  # the parser in C says "" for None
        self._place(Scalar(mark=mark, text=event.value, plain=plain), event.anchor, 1, 1)

    def _alias(self, event: yaml.AliasEvent, mark: Mark) -> None:
        # An anchor is known once its node is complete, so a node cannot hold itself.
        if event.anchor not in self._anchors:
            raise self.stop(mark, "no anchor of this name stands above; quote a text with '*'")
        node, nodes, height = self._anchors[event.anchor]
        self._count(nodes, mark)
        if len(self._frames) + height > self._limits.deepest:
            raise self.stop(mark, f"the file is nested deeper than {self._limits.deepest} levels")
        self._place(node, None, nodes, height)

    def _open(self, event: yaml.CollectionStartEvent, mark: Mark) -> None:
        self._count(1, mark)
        if len(self._frames) >= self._limits.deepest:
            raise self.stop(mark, f"the file is nested deeper than {self._limits.deepest} levels")
        mapping = isinstance(event, yaml.MappingStartEvent)
        self._frames.append(_Frame(mark, event.anchor, mapping=mapping))

    def _count(self, nodes: int, mark: Mark) -> None:
        self._nodes += nodes
        if self._nodes > self._limits.most_nodes:
            raise self.stop(mark, f"the file holds more than {self._limits.most_nodes} values")

    def _place(self, node: Node, anchor: str | None, nodes: int, height: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = (node, nodes, height)
        if not self._frames:
            self._root = node
            return
        frame = self._frames[-1]
        frame.nodes += nodes
        frame.height = max(frame.height, height + 1)
        if frame.mapping and len(frame.children) % 2 == 0:
            self._key(frame, node)
        frame.children.append(node)

    def _key(self, frame: _Frame, node: Node) -> None:
        if not isinstance(node, Scalar):
            raise self.stop(node.mark, "a key must be a word")
        if node.plain and node.text == "<<":
            raise self.stop(node.mark, "merge keys ('<<') are not supported")
        if node.text in frame.seen:
            path = ""
            for outer in self._frames[:-1]:
                path = join(path, outer.step())
            first = frame.seen[node.text]
            self._problems.add(
                path, node.mark, f"the key {quoted(node.text)} stands already at line {first}"
            )
        frame.seen.setdefault(node.text, node.mark.line)


def _wrong(said: str | None) -> str:
    """Retell what a parser found wrong, without the text it found it in."""
    if said is None:
        return "the text ends too early"
    if said.startswith(_TAB):
        return "a tab stands here; indent with spaces"
    return _QUOTED.sub(_unquoted, said)


def _unquoted(found: re.Match[str]) -> str:
    inner = found[1] or found[2] or ""
    return found[0] if len(inner) <= 1 or inner.startswith("<") else "something"


def _mark(mark: Any) -> Mark:
    """Turn a mark of either parser, which count from 0, into ours."""
    if mark is None:
        return Mark(line=1, column=1)
    return Mark(line=int(mark.line) + 1, column=int(mark.column) + 1)
