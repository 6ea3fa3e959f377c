"""What a step freed is there for the next."""

from __future__ import annotations

import resource

import pytest
import torch

from qa_app.training.memory import kept_memory


def _faults() -> int:
    """Pages that the system gave this process while twenty large buffers came and went, one after the other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(16 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_freed_memory_stays() -> None:
    """Within the block large buffers take the place of those before them."""
    torch.ones(1)
    before = _faults()
    if before < 10_000:
        pytest.skip("this system keeps freed memory, or gives it in large pages")
    with kept_memory():
        _faults()
        within = _faults()
    assert within < before / 10
