"""Is the passage that holds the answer among those found, and how far up?"""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Ranks that recall is counted to.
CUTS = (1, 5, 10, 20)
#: Passages that are looked through for a gold one; reciprocal ranks beyond count as zero.
DEPTH = 100
_NDCG = 10


def retrieval_metrics(found: Sequence[Sequence[bool]], gold: Sequence[int]) -> dict[str, float]:
    """Recall@k, MRR and nDCG@10 over questions, in percent.

    ``found`` says of each of a question's first :data:`DEPTH` passages, best first, whether it is gold; ``gold`` how
    many gold passages there are. Recall@k is the share of questions with one among the first k, MRR the mean of 1/rank
    of the first one, nDCG@10 of binary relevance (Järvelin and Kekäläinen, 2002).
    """
    ranks = [first_rank(marks) for marks in found]
    shares = {f"recall@{k}": [float(rank is not None and rank <= k) for rank in ranks] for k in CUTS}
    shares["mrr"] = [1 / rank if rank else 0.0 for rank in ranks]
    shares[f"ndcg@{_NDCG}"] = [_ndcg(marks, count) for marks, count in zip(found, gold)]
    return {name: 100 * sum(values) / len(values) for name, values in shares.items() if values}


def first_rank(marks: Sequence[bool]) -> int | None:
    """The rank of the first gold passage, from 1; None where there is none."""
    return next((rank for rank, mark in enumerate(marks, 1) if mark), None)


def _ndcg(marks: Sequence[bool], gold: int) -> float:
    gains = [1 / math.log2(rank + 1) for rank in range(1, _NDCG + 1)]
    best = sum(gains[:gold])
    return sum(gain for gain, mark in zip(gains, marks) if mark) / best if best else 0.0
