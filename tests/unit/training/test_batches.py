"""Every example once in an epoch, in batches without much padding."""

from __future__ import annotations

import numpy as np

from qa_app.training.batches import cut, padding_share, plan

LENGTHS = np.random.default_rng(3).integers(20, 257, 5000).astype(np.int32)


def test_each_epoch_takes_every_example_once() -> None:
    """Two epochs are two permutations, and not the same one."""
    steps = plan(LENGTHS, epochs=2, tokens=4096, seed=1)
    taken = np.concatenate(steps)
    assert sorted(taken[:5000]) == sorted(taken[5000:]) == list(range(5000))
    assert list(taken[:5000]) != list(taken[5000:])


def test_batches_hold_as_many_tokens_as_they_may() -> None:
    """No batch is over the limit, padding is below 5 %, and a batch is nearly full."""
    steps = plan(LENGTHS, epochs=1, tokens=4096, seed=1)
    sizes = [len(batch) * LENGTHS[batch].max() for batch in steps]
    assert max(sizes) <= 4096
    assert np.mean(sizes) > 0.85 * 4096
    assert padding_share(steps, LENGTHS) < 0.05


def test_long_and_short_batches_are_mixed() -> None:
    """Lengths do not rise or sink through an epoch, which would teach one kind of example last."""
    longest = [LENGTHS[batch].max() for batch in plan(LENGTHS, epochs=1, tokens=4096, seed=1)]
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.2


def test_the_seed_alone_decides() -> None:
    """The same seed gives the same batches, another one others."""
    first, again, other = (plan(LENGTHS, epochs=1, tokens=1024, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other))


def test_an_example_over_the_limit_is_a_batch() -> None:
    """Nothing is lost where an example alone is longer than a batch may be, or where there is nothing."""
    lengths = np.array([5, 300, 5], np.int32)
    batches = cut(np.argsort(lengths, kind="stable"), lengths, 100)
    assert [list(batch) for batch in batches] == [[0, 2], [1]]
    assert cut(np.zeros(0, np.int64), lengths, 100) == []
