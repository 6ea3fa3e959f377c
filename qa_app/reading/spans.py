"""From the scores of a window's tokens to its best spans."""

from __future__ import annotations

import numpy as np
from haystack.modeling.model.predictions import QACandidate
from numpy.typing import NDArray

#: Tokens of the longest answer, as in FARMReader.
_MAX_ANSWER = 1000


def best_spans(
    logits: NDArray[np.float32], first: int, length: int, *, count: int, apart: int, number: int
) -> list[QACandidate]:
    """The ``count`` best spans of one window and, last, its "no answer": what FARMReader's head gives, in O(count * n).

    ``logits`` has shape (tokens, 2), of starts and ends, without padding; the passage is at ``first`` and ``length``
    tokens long; spans share no start or end with a better one, nor one within ``apart`` tokens of it; ``number`` is
    the window's. Confidence is FARMReader's, the mean of the softmax of start and end, over real tokens alone: there it
    sinks with each token of padding.
    """
    starts, ends = logits[:, 0], logits[:, 1]
    start_shares, end_shares = _softmax(starts), _softmax(ends)
    free_starts = np.array(starts[first : first + length])
    free_ends = np.array(ends[first : first + length])
    found: list[QACandidate] = []
    while len(found) < count:
        start, end = _best(free_starts, free_ends)
        if not np.isfinite(free_starts[start] + free_ends[end]):
            break  # no start is left that has an end after it
        confidence = (start_shares[first + start] + end_shares[first + end]) / 2
        score = starts[first + start] + ends[first + end]
        found.append(_candidate("span", score, first + start, first + end, confidence, str(number)))
        free_starts[max(start - apart, 0) : start + apart + 1] = -np.inf
        free_ends[max(end - apart, 0) : end + apart + 1] = -np.inf
    nothing = (start_shares[0] + end_shares[0]) / 2
    return [*found, _candidate("no_answer", starts[0] + ends[0], 0, 0, nothing, None)]


def _best(starts: NDArray[np.float32], ends: NDArray[np.float32]) -> tuple[int, int]:
    """The start and the end at or after it with the highest sum."""
    if len(ends) <= _MAX_ANSWER:
        best_after = np.maximum.accumulate(ends[::-1])[::-1]
    else:
        # Windows longer than the longest answer: no end farther off than that.
        padded = np.append(ends, np.full(_MAX_ANSWER - 1, -np.inf, ends.dtype))
        best_after = np.lib.stride_tricks.sliding_window_view(padded, _MAX_ANSWER).max(axis=1)
    start = int(np.argmax(starts + best_after))
    return start, start + int(np.argmax(ends[start : start + _MAX_ANSWER]))


def _softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(scores - scores.max())
    return np.asarray(powers / powers.sum(), dtype=np.float32)


def _candidate(
    kind: str, score: np.float32, start: int, end: int, confidence: np.float32, passage: str | None
) -> QACandidate:
    return QACandidate(
        answer_type=kind,
        score=float(score),
        offset_answer_start=start,
        offset_answer_end=end,
        offset_unit="token",
        aggregation_level="passage",
        passage_id=passage,
        confidence=float(confidence),
    )
