"""The table, its JSON, its plot."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Row, Skipped

MET, MISSED = "#2c7a4b", "#b3402e"


def print_table(rows: Sequence[Row | Skipped], machine: Mapping[str, str], *, console: Console) -> None:
    for name, value in machine.items():
        console.print(f"[dim]{name:>10}[/dim]  {value}", highlight=False)
    table = Table(caption="ratio: median of the rounds, lowest and highest beside it; bar: wanted (stretch)")
    for column in ("path", "peer"):
        table.add_column(column, overflow="fold")
    for column in ("ours", "peer's", "ratio", "", "bar", "met", "CPU µs", "peer's"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        if isinstance(row, Row):
            table.add_row(*cells(row))
    console.print(table)
    for row in rows:
        if isinstance(row, Skipped):
            console.print(f"skipped: {row.path}: {row.why}", highlight=False, markup=False)


def cells(row: Row) -> list[str]:
    """The cells of a row of the table, as text."""
    spread = f"{row.low:.2f}–{row.high:.2f}" if row.low is not None and row.high is not None else ""
    met = {True: "yes", False: "NO", None: ""}[row.is_met]
    return [
        f"{row.path}{f' ({row.note})' if row.note else ''}",
        row.peer,
        f"{shown(row.ours)} {row.unit.replace('messages/s', '/s')}",
        shown(row.theirs),
        f"{row.ratio:.2f}" if row.ratio is not None else "",
        spread,
        str(row.bar) if row.bar is not None else "",
        met,
        shown(row.cpu_us),
        shown(row.peer_cpu_us),
    ]


def shown(value: float | None) -> str:
    """A figure with as many digits as it deserves."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"


def write_json(path: Path, rows: Sequence[Row | Skipped], machine: Mapping[str, str]) -> None:
    found = [asdict(row) | {"is_met": row.is_met} for row in rows if isinstance(row, Row)]
    skipped = [asdict(row) for row in rows if isinstance(row, Skipped)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": dict(machine), "rows": found, "skipped": skipped}, indent=1) + "\n")


def plot(path: Path, rows: Sequence[Row | Skipped]) -> None:
    """Each ratio beside its bar. ImportError without matplotlib."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    held = [row for row in rows if isinstance(row, Row) and row.ratio is not None][::-1]
    figure, axes = pyplot.subplots(figsize=(11, 1 + 0.42 * len(held)), layout="constrained")
    for place, row in enumerate(held):
        assert row.ratio is not None
        axes.barh(place, row.ratio, color=MISSED if row.is_met is False else MET, height=0.6)
        axes.text(row.ratio, place, f" {row.ratio:.2f}", va="center", fontsize=8)
        if row.bar is not None and row.bar.of_ratio:
            axes.plot([row.bar.limit] * 2, [place - 0.4, place + 0.4], color="black", linewidth=2)
    axes.set_yticks(range(len(held)), [f"{row.path}\nover {row.peer}" for row in held], fontsize=7)
    axes.set_xlabel("ours / peer, median of interleaved rounds; black: the bar")
    axes.set_xscale("log")
    figure.savefig(path)
    pyplot.close(figure)
