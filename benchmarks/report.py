"""Results as Markdown for people and JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Cell = str | int | float | None


@dataclass(frozen=True)
class Plot:
    """Bars: what they measure, and each one's name and length, from the top down."""

    measure: str
    bars: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Lines:
    """What is measured ``over`` what, on a scale of powers of ten, with the points of every line."""

    measure: str
    over: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Table:
    """One table: what it shows, its rows with the same keys in the same order, what to know about it, and its plot."""

    name: str
    title: str
    rows: Sequence[Mapping[str, Cell]]
    notes: Sequence[str] = ()
    plot: Plot | Lines | None = None

    def markdown(self) -> str:
        """A heading, the table and a list of the notes."""
        columns = list(self.rows[0])
        lines = [
            f"## {self.title}",
            "",
            f"| {' | '.join(columns)} |",
            f"|{'|'.join('---' if column == columns[0] else '---:' for column in columns)}|",
            *(f"| {' | '.join(_shown(row[column]) for column in columns)} |" for row in self.rows),
            "",
            *(f"- {note}" for note in self.notes),
            *([f"\n![{self.title}: {self.plot.measure}]({self.name}.svg)"] if self.plot else []),
        ]
        return "\n".join(lines).rstrip() + "\n"


def markdown(machine: Mapping[str, str], tables: Sequence[Table]) -> str:
    """The whole report."""
    head = "\n".join(f"| {name} | {value} |" for name, value in machine.items())
    return "\n".join([f"# Measured\n\n| | |\n|---|---|\n{head}\n", *(table.markdown() for table in tables)])


def write(folder: Path, machine: Mapping[str, str], tables: Sequence[Table]) -> None:
    """``latest.md``, ``latest.json`` and the tables' plots in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        if table.plot:
            _draw(table.title, table.plot, folder / f"{table.name}.svg")
    (folder / "latest.md").write_text(markdown(machine, tables), encoding="utf-8")
    content: dict[str, Any] = {
        "machine": dict(machine),
        "tables": {
            table.name: {"title": table.title, "rows": [dict(row) for row in table.rows], "notes": list(table.notes)}
            for table in tables
        },
    }
    (folder / "latest.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _draw(title: str, plot: Plot | Lines, path: Path) -> None:
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = path.name  # the same figures are the same file
    height = 0.6 + 0.36 * len(plot.bars) if isinstance(plot, Plot) else 3.6
    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.subplots()
    if isinstance(plot, Plot):
        names, lengths = zip(*reversed(plot.bars))
        bars = axes.barh(names, lengths, color="#2f6f8f")
        axes.bar_label(bars, [_shown(float(length)) for length in lengths], padding=3)
        axes.margins(x=0.12)
        axes.set_xlabel(plot.measure)
    else:
        for (name, points), color in zip(plot.lines.items(), ("#2f6f8f", "#b5651d")):
            axes.plot(*zip(*points), marker="o", label=name, color=color)
            for place in points:
                axes.annotate(_shown(float(place[1])), place, xytext=(0, 7), textcoords="offset points", ha="center")
        axes.set_xscale("log")
        axes.margins(x=0.08, y=0.15)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(plot.over)
        axes.set_ylabel(plot.measure)
        axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left")
    figure.savefig(path, metadata={"Date": None})


def _shown(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else value
