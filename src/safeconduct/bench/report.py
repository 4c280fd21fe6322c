"""What a run found out, held against the budgets."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from safeconduct.bench.run import Findings
from safeconduct.core.model import Value

_UNITS = {"share": "", "ms": " ms", "us": " µs", "mib": " MiB"}


class Line(Value, frozen=True):
    """One budget. `measured` is None where it could not be measured here."""

    what: str
    unit: str
    measured: float | None
    must: float
    aim: float
    at_least: bool = False

    @property
    def verdict(self) -> str:
        """Return `aim`, `must`, `missed`, or `not measured`."""
        if self.measured is None:
            return "not measured"
        for name, bound in (("aim", self.aim), ("must", self.must)):
            if self.measured >= bound if self.at_least else self.measured <= bound:
                return name
        return "missed"


def lines(found: Findings) -> tuple[Line, ...]:
    """Return the budgets this run can speak about."""
    governed, direct = found.target("governed"), found.target("direct")
    assert governed is not None
    assert direct is not None
    return (
        Line(
            what="governed calls/s as a share of nginx's",
            unit="share",
            measured=_share(found),
            must=0.15,
            aim=0.40,
            at_least=True,
        ),
        Line(
            what="added p50 at one connection",
            unit="ms",
            measured=governed.p50 - direct.p50,
            must=1.5,
            aim=0.5,
        ),
        Line(
            what="CPU per governed call in the gateway",
            unit="us",
            measured=governed.cpu_us,
            must=300,
            aim=120,
        ),
        Line(what="memory when idle", unit="mib", measured=found.idle_mib, must=150, aim=100),
    )


def exact(found: Findings) -> dict[str, bool]:
    """Return what has no budget but must simply be so.

    A measurement that ends with calls under way may leave them recorded and not sent, or
    sent and without an outcome; never more than there were connections.
    """
    spare = found.cut_off
    return {
        "every governed call went upstream exactly once": (
            0 <= found.intents - found.arrived <= spare
        ),
        "every governed call was written down before and after": (
            0 <= found.intents - found.outcomes <= spare
        ),
    }


def held(found: Findings) -> bool:
    """Tell whether every must that was measured held."""
    return all(exact(found).values()) and all(one.verdict != "missed" for one in lines(found))


def as_data(found: Findings) -> dict[str, Any]:
    """Return everything as JSON values."""
    data: dict[str, Any] = msgspec.to_builtins(found)
    data["budgets"] = [
        {**msgspec.to_builtins(line), "verdict": line.verdict} for line in lines(found)
    ]
    data["exact"] = exact(found)
    data["held"] = held(found)
    return data


def show(console: Console, found: Findings) -> None:
    """Print two tables and what must simply be so."""
    wanted = found.wanted
    console.print(
        f"\n{wanted.era} era, {found.generator}, medians of {wanted.rounds} rounds; "
        f"compare within one run only\n"
    )
    console.print(_targets(found))
    console.print()
    console.print(_budgets(found))
    console.print()
    for sentence, so in exact(found).items():
        console.print(f"{'[green]✓[/green]' if so else '[red]✗[/red]'} {sentence}")
    console.print(
        f"[dim]{found.arrived} arrived, {found.intents} intents, {found.outcomes} outcomes; "
        f"at most {found.cut_off} were cut off[/dim]"
    )
    if found.idle_mib is not None and found.after_mib is not None:
        governed = found.target("governed")
        calls = governed.calls if governed else 0
        console.print(
            f"[dim]memory {found.idle_mib:.0f} MiB when idle, "
            f"{found.after_mib:.0f} MiB after {calls} calls[/dim]"
        )
    if found.target("nginx") is None:
        console.print("[dim]nginx is not installed, so there is no share of it[/dim]")


def _targets(found: Findings) -> Table:
    many = found.wanted.connections
    table = Table("Target", box=None, pad_edge=False, header_style="dim")
    for column in (f"calls/s, c={many}", "p50, c=1", "p99, c=1", "CPU per call"):
        table.add_column(column, justify="right")
    for one in found.targets:
        cpu = "-" if one.cpu_us is None else f"{one.cpu_us:.0f} µs"
        table.add_row(
            one.name, f"{one.per_second:,.0f}", f"{one.p50:.2f} ms", f"{one.p99:.2f} ms", cpu
        )
    return table


def _budgets(found: Findings) -> Table:
    table = Table("Budget", box=None, pad_edge=False, header_style="dim")
    for column in ("measured", "must", "aim", ""):
        table.add_column(column, justify="right")
    colours = {"aim": "green", "must": "green", "missed": "red", "not measured": "dim"}
    words = {"aim": "reaches the aim", "must": "holds", "missed": "MISSED"}
    for line in lines(found):
        unit = _UNITS[line.unit]
        measured = "-" if line.measured is None else f"{line.measured:.2f}{unit}"
        verdict = words.get(line.verdict, line.verdict)
        table.add_row(
            line.what,
            measured,
            f"{line.must:g}{unit}",
            f"{line.aim:g}{unit}",
            f"[{colours[line.verdict]}]{verdict}[/]",
        )
    return table


def _share(found: Findings) -> float | None:
    nginx, governed = found.target("nginx"), found.target("governed")
    if nginx is None or governed is None or not nginx.per_second:
        return None
    return governed.per_second / nginx.per_second
