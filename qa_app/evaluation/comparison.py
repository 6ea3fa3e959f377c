"""Is it worse than before? For those who let a run of their CI fail by it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from qa_app.datasets.files import read_json
from qa_app.datasets.squad import Question
from qa_app.errors import InvalidRequestError

#: Figures where less is better; of all others that are of quality, more is.
_LESS_IS_BETTER = ("ece",)
#: What a figure says when its name ends so: how many there were, or where a threshold lies, not how good.
_NO_QUALITY = ("total", "_thresh")
#: Below it, a difference is one of adding up in another order.
_NOISE = 1e-9
#: What every run counts; a file without them holds nothing that could be worse.
_ALWAYS = {"exact", "f1", "total"}
#: What only a run of the pipeline counts, and always does.
_PIPELINE = "ece"
#: What is only counted with scores for "no answer".
_SCORED = "best_f1"


@dataclass(frozen=True)
class EarlierRun:
    """The figures of an earlier run, and the SHA-256 of its file of questions where that was kept."""

    metrics: dict[str, float]
    sha256: str | None = None


def read_earlier(path: Path) -> EarlierRun:
    """An earlier run, as ``--json`` printed it.

    Raises InvalidRequestError for anything else, and what :func:`read_json` raises.
    """
    content, _ = read_json(path)
    metrics = content.get("metrics", content) if isinstance(content, dict) else None
    if not isinstance(metrics, dict) or not metrics.keys() >= _ALWAYS:
        raise InvalidRequestError(f"{path} is not an earlier run; give a file that --json was written to")
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise InvalidRequestError(f"{path}: {name} is {str(value)[:40]!r}, which is not a number")
    run = content.get("run")
    return EarlierRun(metrics, run.get("sha256") if isinstance(run, dict) else None)


def check_comparable(
    earlier: EarlierRun,
    questions: Iterable[Question],
    *,
    pipeline: bool = False,
    scored: bool = True,
    sha256: str | None = None,
) -> None:
    """Raises InvalidRequestError where a run on ``questions`` will be no likeness of the earlier one.

    ``scored`` says whether there are scores for "no answer"; ``sha256`` is that of the file of questions.
    """
    if (_PIPELINE in earlier.metrics) != pipeline:
        kinds = ("of the pipeline", "of the reader or of predictions")
        was, will = kinds if not pipeline else reversed(kinds)
        raise InvalidRequestError(f"the earlier run was {was} and this one is {will}; compare two of a kind")
    if _SCORED in earlier.metrics and not scored and not pipeline:
        raise InvalidRequestError(
            "the earlier run had scores for 'no answer' and this one has none; name them with --no-answer-scores"
        )
    answerable = [bool(question.answers) for question in questions]
    for name, kind, count in (
        ("total", "questions", len(answerable)),
        ("HasAns_total", "questions with an answer", sum(answerable)),
        ("NoAns_total", "questions without an answer", len(answerable) - sum(answerable)),
    ):
        before = earlier.metrics.get(name, count)
        if before != count:
            raise InvalidRequestError(
                f"the earlier run was on {before:g} {kind} and this one is on {count}; "
                "only runs on the same file can be compared"
            )
    if earlier.sha256 and sha256 and earlier.sha256 != sha256:
        raise InvalidRequestError(
            f"the earlier run was on a file with the SHA-256 {earlier.sha256[:12]}..., this one is on one with "
            f"{sha256[:12]}...; only runs on the same file can be compared"
        )


def losses(earlier: Mapping[str, float], now: Mapping[str, float], tolerance: float) -> list[str]:
    """One line for each figure of quality that is worse by more than ``tolerance`` points, or that is missing now."""
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
