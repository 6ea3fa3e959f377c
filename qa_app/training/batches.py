"""Which examples go together in which step: the same for the same seed, whenever it is asked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Steps whose examples are sorted by length together: enough to leave little padding, few enough to keep chance.
_BUCKET_STEPS = 50


def plan(lengths: NDArray[np.int32], *, epochs: int, tokens: int, seed: int) -> list[NDArray[np.int64]]:
    """The examples of every step, each example once in an epoch.

    A batch holds at most ``tokens`` tokens, padding to its longest example counted; a longer example is a batch of its
    own. Examples are shuffled, sorted by length within buckets of fifty batches, and the batches shuffled again.
    """
    steps: list[NDArray[np.int64]] = []
    for epoch in range(epochs):
        generator = np.random.default_rng((seed, epoch))
        order = generator.permutation(len(lengths))
        bucket = max(1, _BUCKET_STEPS * tokens // max(1, int(lengths.mean())))
        batches: list[NDArray[np.int64]] = []
        for begin in range(0, len(order), bucket):
            some = order[begin : begin + bucket]
            batches += cut(some[np.argsort(lengths[some], kind="stable")], lengths, tokens)
        steps += [batches[number] for number in generator.permutation(len(batches))]
    return steps


def cut(order: NDArray[np.int64], lengths: NDArray[np.int32], tokens: int) -> list[NDArray[np.int64]]:
    """``order``, sorted by length from short to long, in batches of at most ``tokens`` tokens with padding."""
    batches, begin = [], 0
    for end in range(1, len(order) + 1):
        if end == len(order) or (end + 1 - begin) * int(lengths[order[end]]) > tokens:
            batches.append(order[begin:end])
            begin = end
    return batches


def padding_share(batches: list[NDArray[np.int64]], lengths: NDArray[np.int32]) -> float:
    """The share of padding in what the model computes, 0 to 1."""
    whole = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    return 1 - sum(int(lengths[batch].sum()) for batch in batches) / max(1, whole)
