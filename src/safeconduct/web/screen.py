"""What the consent page shows, as values: the three facts, the levels, the tools.

Everything comes from our own records: the client as registered, the server's tools as
reviewed, the ceiling of this moment. Pure functions; the page decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from safeconduct.consent import Consent
from safeconduct.core.model import Level, Value
from safeconduct.hosts import Host
from safeconduct.oauth import Forecast, ToolForecast
from safeconduct.upstreams import Server, Tool
from safeconduct.web.names import Way, cleaned, cut, warning_about, way_back

_DESCRIPTION_CHARACTERS = 160
_REASON_CHARACTERS = 300
_TOOLS_NAMED = 4
_NOT_ALLOWED = ToolForecast(allowed=False)

_WORDS = {
    Level.LOW: ("Low", "Look.", "Reads what you can read. Changes nothing."),
    Level.MEDIUM: (
        "Medium",
        "Look and change.",
        "Also creates, edits and sends. People will see your name on it.",
    ),
    Level.HIGH: (
        "High",
        "Look, change and delete.",
        "Also does what cannot be undone, in your name.",
    ),
}
_GROUPS = {
    Level.LOW: "Look",
    Level.MEDIUM: "Change",
    Level.HIGH: "Delete or cannot be undone",
}


class Agent(Value, frozen=True):
    """A client as a person sees it. `name` is whole, `short` fits a heading."""

    name: str
    short: str
    known: str
    way: Way
    warning: str | None


class Mark(Value, frozen=True):
    """What becomes of a tool at some of the levels.

    Attributes:
        why: The host's own reason for a no, where its level alone does not say it.
        approver: Whether an approver is asked each time.
    """

    levels: tuple[Level, ...]
    allowed: bool
    why: str
    approver: bool


class Row(Value, frozen=True):
    """One tool. `waiting` tools are allowed at no level until an admin has reviewed them."""

    name: str
    description: str
    level: Level
    because: str
    waiting: bool
    marks: tuple[Mark, ...]


class Group(Value, frozen=True):
    """The tools of one level."""

    level: Level
    title: str
    rows: tuple[Row, ...]


class Step(Value, frozen=True):
    """One level as it can be chosen, or not.

    Attributes:
        refused: Why the host's rules refuse this agent at this level, or "".
    """

    level: Level
    name: str
    does: str
    consequence: str
    allowed: int
    open: bool
    refused: str = ""


class Choice(Value, frozen=True):
    """One server in the list to choose from."""

    key: str
    name: str
    place: str
    ceiling: Level
    tools: int
    named: tuple[str, ...]
    more: int
    silent: bool


class Screen(Value, frozen=True):
    """The consent page without what the person entered."""

    server: str
    server_name: str
    place: str
    ceiling: Level
    ceiling_name: str
    steps: tuple[Step, ...]
    groups: tuple[Group, ...]
    total: int
    before: Consent | None


def agent(
    host: Host, *, name: str, kind: str, published_at: str | None, redirect_uri: str
) -> Agent:
    """Describe a client: its own name, and how that is known.

    Args:
        host: The tenant, which vouches for the clients it registered.
        name: What the client calls itself.
        kind: `registered`, `document` or `dynamic`.
        published_at: Host of its metadata document.
        redirect_uri: Where this request sends the person back to.
    """
    way = way_back(redirect_uri)
    clean = cleaned(name) or "An agent without a name"
    registered = kind == "registered"
    published = published_at if kind == "document" else None
    if registered:
        known = f"{host.name} registered this app."
    elif published is not None:
        known = f"Published by {cleaned(published)}, address checked."
    else:
        known = "It registered itself, so nobody has checked the name."
    warning = None if registered else warning_about(clean, published_at=published, way=way)
    return Agent(name=clean, short=cut(clean), known=known, way=way, warning=warning)


def choice(server: Server, ceiling: Level) -> Choice:
    """Describe a server for the list."""
    listed = _listed(server)
    return Choice(
        key=server.key,
        name=cleaned(server.name),
        place=_place(server),
        ceiling=ceiling,
        tools=len(listed),
        named=tuple(cleaned(tool.name) for tool in listed[:_TOOLS_NAMED]),
        more=max(0, len(listed) - _TOOLS_NAMED),
        silent=server.problem is not None,
    )


def screen(
    server: Server,
    ceiling: Level,
    *,
    before: Consent | None,
    forecasts: Mapping[Level, Forecast],
) -> Screen:
    """Describe what each level would mean on a server, by the host's rules of this moment."""
    listed = _listed(server)
    return Screen(
        server=server.key,
        server_name=cleaned(server.name),
        place=_place(server),
        ceiling=ceiling,
        ceiling_name=_WORDS[ceiling][0],
        steps=tuple(_step(level, listed, ceiling, forecasts[level]) for level in Level),
        groups=tuple(_group(level, listed, forecasts) for level in Level),
        total=len(listed),
        before=before,
    )


def starting_level(ceiling: Level, before: Consent | None, *, start: Level) -> Level:
    """Return the level chosen at first: the host's, or what the person gave before if still open.

    Never more than may be chosen.
    """
    if before is None or before.ended_at is not None or before.level > ceiling:
        return min(start, ceiling)
    return before.level


def chosen_level(shown: Screen, wanted: Level) -> Level:
    """Return the level that is marked: the wanted one, or the first that can be chosen."""
    can = [step.level for step in shown.steps if step.open]
    if wanted in can:
        return wanted
    return can[0] if can else Level.LOW


def refusals_of(shown: Screen) -> tuple[str, ...]:
    """Return the reasons why levels within the ceiling are refused, each once."""
    return tuple(dict.fromkeys(step.refused for step in shown.steps if step.refused))


def level_name(level: Level) -> str:
    return _WORDS[level][0]


def _listed(server: Server) -> list[Tool]:
    """Return the tools an admin has switched on, by level, then name."""
    enabled = [tool for tool in server.tools.values() if tool.enabled]
    return sorted(enabled, key=lambda tool: (tool.level, tool.name))


def _step(level: Level, listed: list[Tool], ceiling: Level, forecast: Forecast) -> Step:
    name, does, consequence = _WORDS[level]
    refused = cleaned(forecast.refused, longest=_REASON_CHARACTERS) if level <= ceiling else ""
    is_open = level <= ceiling and not refused
    closed = "Refused by the rules of this host." if refused else "Not open to you."
    return Step(
        level=level,
        name=name,
        does=does,
        consequence=consequence if is_open else closed,
        allowed=sum(_counts(tool, level, ceiling, forecast) for tool in listed),
        open=is_open,
        refused=refused,
    )


def _counts(tool: Tool, level: Level, ceiling: Level, forecast: Forecast) -> bool:
    """Say whether a tool is allowed; above the ceiling, what the level would be for."""
    if level > ceiling:
        return tool.offered and tool.level <= level
    return tool.offered and _foreseen(tool, forecast).allowed


def _foreseen(tool: Tool, forecast: Forecast) -> ToolForecast:
    return forecast.tools.get(tool.name, _NOT_ALLOWED)


def _marks(tool: Tool, forecasts: Mapping[Level, Forecast]) -> tuple[Mark, ...]:
    """Say what becomes of a tool, once for all levels where it is the same."""
    grouped: dict[ToolForecast, list[Level]] = {}
    for level in Level:
        grouped.setdefault(_foreseen(tool, forecasts[level]), []).append(level)
    return tuple(
        Mark(
            levels=tuple(levels),
            allowed=each.allowed,
            why=cleaned(each.why, longest=_REASON_CHARACTERS),
            approver=each.approver,
        )
        for each, levels in grouped.items()
    )


def _group(level: Level, listed: list[Tool], forecasts: Mapping[Level, Forecast]) -> Group:
    rows = tuple(_row(tool, forecasts) for tool in listed if tool.level is level)
    return Group(level=level, title=_GROUPS[level], rows=rows)


def _row(tool: Tool, forecasts: Mapping[Level, Forecast]) -> Row:
    return Row(
        name=cleaned(tool.name),
        description=cleaned(tool.description or tool.title, longest=_DESCRIPTION_CHARACTERS),
        level=tool.level,
        because=cleaned(tool.because),
        waiting=not tool.offered,
        marks=_marks(tool, forecasts),
    )


def _place(server: Server) -> str:
    """Return where a server runs, without anything its address may hold besides."""
    parts = urlsplit(server.url)
    host = parts.hostname or "this gateway"
    return host if parts.port is None else f"{host}:{parts.port}"
