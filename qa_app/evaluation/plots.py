"""Plots as SVG within a page: ink in the page's colour, ids of their own, and words for those who cannot see them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from qa_app.evaluation.confidence import Bin
from qa_app.evaluation.retrieval import CUTS, DEPTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Stands for the page's own colour of text, whatever that is in the light and in the dark.
_INK = "#010203"
_INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
# Both have a contrast of at least 3 to 1 on white and on the dark ground.
_LINE = "#2f7fc1"
_MARK = "#c4622d"


def risk_coverage_plot(points: Sequence[tuple[float, float]]) -> str:
    """The share of wrong answers by the share of questions answered, the surest first."""
    shares, risks = [100 * x for x, _ in points], [100 * y for _, y in points]

    def draw(axes: Axes) -> None:
        axes.plot(shares, risks, color=_LINE, marker="o" if len(shares) == 1 else None)
        axes.set(xlabel="questions answered, the surest first (%)", ylabel="wrong among them (%)")
        axes.set(xlim=(0, 101), ylim=(0, None))

    half = min(range(len(shares)), key=lambda number: abs(shares[number] - 50))
    told = f"{risks[half]:.0f} % are wrong with {shares[half]:.0f} % answered, {risks[-1]:.0f} % with all."
    return _svg("risk", f"Risk by coverage. {told}", draw)


def reliability_plot(parts: Sequence[Bin], error: float) -> str:
    """The share of right answers by confidence, beside what confidence promises."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 100], [0, 100], color=_INK, linestyle=":", label="as promised")
        axes.plot(
            [100 * part.confidence for part in parts],
            [100 * part.right for part in parts],
            color=_LINE,
            marker="o",
            label="measured",
        )
        axes.set(xlabel="confidence (%)", ylabel="right (%)", xlim=(0, 101), ylim=(0, 101))
        _legend(axes)

    told = ", ".join(f"{100 * part.confidence:.0f} % sure and {100 * part.right:.0f} % right" for part in parts)
    return _svg("reliability", f"Reliability, with an expected calibration error of {error:.1f} %: {told}.", draw)


def recall_plot(ranks: Sequence[int | None], read: int) -> str:
    """The share of questions with a gold passage among the first k, beside how many are read."""
    depths = range(1, DEPTH + 1)
    recall = [100 * sum(rank is not None and rank <= k for rank in ranks) / len(ranks) for k in depths]

    def draw(axes: Axes) -> None:
        axes.step(depths, recall, color=_LINE, where="post")
        axes.plot(CUTS, [recall[k - 1] for k in CUTS], color=_LINE, marker="o", linestyle="")
        axes.axvline(read, color=_MARK, linestyle="--", label=f"read: {read}")
        axes.set(xlabel="passages (k)", ylabel="questions with a gold one (%)", xscale="log", ylim=(0, 101))
        ticks = sorted({*CUTS, 50, DEPTH})
        axes.set_xticks(ticks, labels=[str(tick) for tick in ticks])
        axes.minorticks_off()
        _legend(axes)

    told = ", ".join(f"{recall[k - 1]:.0f} % among the first {k}" for k in CUTS)
    return _svg("recall", f"Recall by the number of passages: {told}.", draw)


def latency_plot(seconds: Sequence[float], percentiles: Mapping[str, float]) -> str:
    """The share of questions answered within a time."""
    times = sorted(1000 * second for second in seconds)

    def draw(axes: Axes) -> None:
        axes.step(times, [100 * number / len(times) for number in range(1, len(times) + 1)], where="post", color=_LINE)
        for (name, value), line in zip(percentiles.items(), ("-", "--", ":")):
            axes.axvline(value, color=_MARK, linestyle=line, label=f"{name}: {value:.0f}")
        axes.set(xlabel="time to the answer (ms)", ylabel="questions answered (%)", xlim=(0, None), ylim=(0, 101))
        _legend(axes)

    told = ", ".join(f"{name} {value:.0f} ms" for name, value in percentiles.items())
    return _svg("latency", f"Time to the answer: {told}.", draw)


def _legend(axes: Axes) -> None:
    # Above the plot, where no line runs through it.
    axes.legend(
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=3,
        borderaxespad=0,
        handlelength=1.6,
        columnspacing=1.2,
    )


def _svg(name: str, told: str, draw: Callable[[Axes], None]) -> str:
    """The drawing as an ``svg`` element; ``told`` says it in words."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: dict[Any, Any] = dict.fromkeys(_INKED, _INK)
    # Text stays text, in the page's font; the same figures are the same plot.
    style |= {"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif", "font.size": 11}
    written = io.StringIO()
    with mpl.rc_context(style):
        figure = Figure(figsize=(5.2, 3.6), layout="constrained")
        axes = figure.subplots()
        draw(axes)
        axes.grid(color=_INK, alpha=0.15, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(written, format="svg", transparent=True, metadata=nothing)
    drawn = written.getvalue()
    drawn = drawn[drawn.index("<svg") :].replace(_INK, "currentColor")
    # Plots of one page would have equal ids else.
    drawn = re.sub(r'\bid="', f'id="{name}-', drawn)
    drawn = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", drawn)
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    label = f'role="img" aria-label="{escape(told)}" '
    return drawn.replace("<svg ", f"<svg {label}", 1).strip()
