"""Compares ceilings and relations. Only edges that a configuration wrote are taken away by one.

An edge that somebody else stored already (the console, say) is as good as ours and stays theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from urllib.parse import unquote

from msgspec.structs import replace

from safeconduct import relations
from safeconduct.app.moves import Act, Doing, Mover
from safeconduct.app.plan import Action, became
from safeconduct.app.present import Present
from safeconduct.app.targets import Edge, Target
from safeconduct.core.model import Level, ServerKey, SubjectId
from safeconduct.relations import Tuple

_SERVER, _PERSON, _GROUP, _MEMBER = "server:", "person:", "group:", "#member"
_LEVELS = {level.word: level for level in Level}


def compare_edges(mover: Mover, present: Present, target: Target) -> frozenset[Tuple]:
    """Compare the edges; returns all there will be.

    A person who is yet to be created is spelled by address, which no id looks like.
    """
    ids = {email: SubjectId(email) for email in target.people} | present.ids
    wanted: dict[Tuple, Edge] = {}
    for asked in target.edges:
        wanted.setdefault(asked.spelled(ids), asked)
    added = wanted.keys() - present.edges
    dropped = present.owned - wanted.keys()
    said = _Sayings(emails={known: email for email, known in ids.items()})
    ceilings = sorted(filter(_is_ceiling, added | dropped), key=_whose)
    for (server, subject), pair in groupby(ceilings, key=_whose):
        edges = list(pair)
        owned = {each for each in present.owned if _is_ceiling(each)}
        mine = {each for each in owned if _whose(each) == (server, subject)}
        after = (mine - dropped) | (added & set(edges))
        _ceiling(mover, said, edges, mine, after, _acts(edges, wanted, dropped))
    for edge in sorted(added | dropped, key=str):
        if not _is_ceiling(edge):
            action: Action = "create" if edge in added else "remove"
            what = ("is stored",) if edge in added else ("is no longer so",)
            mover.add("relation", said.edge(edge), action, what, _acts([edge], wanted, dropped))
    return frozenset((present.edges - dropped) | added)


def _ceiling(
    mover: Mover,
    said: _Sayings,
    edges: list[Tuple],
    mine: set[Tuple],
    after: set[Tuple],
    act: Act,
) -> None:
    server = edges[0].object.removeprefix(_SERVER)
    who = said.subject(edges[0].subject)
    old, new = _highest(mine), _highest(after)
    action: Action = "create" if old is None else "remove" if new is None else "change"
    sentence = became(f"ceiling on {server} for {who}", old, new)
    mover.add("ceiling", f"{server} {who}", action, (sentence,), act)


class _Sayings:
    """Spells subjects in words a reader knows."""

    def __init__(self, *, emails: dict[SubjectId, str]) -> None:
        self._emails = emails

    def subject(self, text: str) -> str:
        if text.startswith(_GROUP) and text.endswith(_MEMBER):
            return f"group {unquote(text.removeprefix(_GROUP).removesuffix(_MEMBER))}"
        return self._emails.get(SubjectId(text.removeprefix(_PERSON)), text)

    def edge(self, edge: Tuple) -> str:
        email = self._emails.get(SubjectId(edge.subject.removeprefix(_PERSON)))
        return str(edge if email is None else replace(edge, subject=f"user:{email}"))


def _acts(edges: Iterable[Tuple], wanted: dict[Tuple, Edge], dropped: frozenset[Tuple]) -> Act:
    chosen = list(edges)

    async def act(doing: Doing) -> None:
        for edge in chosen:
            if edge in dropped:
                await relations.remove(doing.tx, doing.host, edge)
        for edge in chosen:
            if edge not in dropped:
                said = wanted[edge]
                spelled = said.spelled(doing.ids)
                await relations.write(
                    doing.tx, doing.host, spelled, source=said.source, at=doing.at
                )

    return act


def _is_ceiling(edge: Tuple) -> bool:
    return edge.object.startswith(_SERVER) and edge.relation in _LEVELS


def _whose(edge: Tuple) -> tuple[ServerKey, str]:
    return ServerKey(edge.object.removeprefix(_SERVER)), edge.subject


def _highest(edges: Iterable[Tuple]) -> str | None:
    levels = [_LEVELS[edge.relation] for edge in edges]
    return max(levels).word if levels else None
