"""Is it worse than before? For those who let a run of their CI fail by it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from qa_app.datasets.files import read_json
from qa_app.errors import InvalidRequestError

#: Figures where less is better; of all others that are of quality, more is.
_LESS_IS_BETTER = ("ece",)
#: What a figure says when its name ends so: how many there were, or where a threshold lies, not how good.
_NO_QUALITY = ("total", "_thresh")
#: Below it, a difference is one of adding up in another order.
_NOISE = 1e-9


def read_metrics(path: Path) -> dict[str, float]:
    """The figures of an earlier run, as ``--json`` printed them.

    Raises InvalidRequestError for anything else, and what :func:`read_json` raises.
    """
    content, _ = read_json(path)
    metrics = content.get("metrics", content) if isinstance(content, dict) else None
    if not isinstance(metrics, dict) or "total" not in metrics:
        raise InvalidRequestError(f"{path} is not an earlier run; give a file that --json was written to")
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise InvalidRequestError(f"{path}: {name} is {str(value)[:40]!r}, which is not a number")
    return metrics


def losses(earlier: Mapping[str, float], now: Mapping[str, float], tolerance: float) -> list[str]:
    """One line for each figure of quality that is worse by more than ``tolerance`` points, or that is missing now.

    Raises InvalidRequestError where the runs are of different numbers of questions or of different kinds.
    """
    if ("mrr" in earlier) != ("mrr" in now):
        raise InvalidRequestError("one run is of the reader and the other of the pipeline; compare two of a kind")
    if earlier["total"] != now["total"]:
        raise InvalidRequestError(
            f"the earlier run was on {earlier['total']:g} questions and this one on {now['total']:g}; "
            "only runs on the same file can be compared"
        )
    lines = []
    for name, before in earlier.items():
        if name.endswith(_NO_QUALITY):
            continue
        if name not in now:
            lines.append(f"{name} was {before:.2f} and is missing now")
            continue
        loss = now[name] - before if name in _LESS_IS_BETTER else before - now[name]
        if loss > tolerance + _NOISE:
            lines.append(f"{name} was {before:.2f} and is {now[name]:.2f}, worse by {loss:.2f}")
    return lines
