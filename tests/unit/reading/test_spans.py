"""The best spans of a window are those that Haystack's head finds, without its padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from haystack.modeling.model.prediction_head import QuestionAnsweringHead
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qa_app.reading.spans import best_spans


def by_haystack(
    logits: NDArray[np.float32], first: int, length: int, count: int, apart: int, padding: int = 0
) -> list[tuple[int, int, float, float]]:
    """Start, end, score and confidence of what Haystack's head gives for the window, padded by so many tokens."""
    head = QuestionAnsweringHead(n_best_per_sample=count, duplicate_filtering=apart)
    tokens = len(logits) + padding
    padded = torch.full((1, tokens, 2), -9.0)
    padded[0, : len(logits)] = torch.from_numpy(logits)
    mask = torch.zeros((1, tokens), dtype=torch.long)
    mask[0, 0] = 1
    mask[0, first : first + length] = 1
    found = head.logits_to_preds(padded, span_mask=mask, start_of_word=mask, seq_2_start_t=torch.tensor([first]))[0]
    return [(c.offset_answer_start, c.offset_answer_end, c.score, c.confidence) for c in found]


class TestLikeHaystack:
    """For any scores, windows and numbers of spans."""

    @settings(deadline=None, max_examples=150)
    @given(
        st.integers(0, 2**32 - 1),
        st.integers(1, 12),
        st.integers(1, 60),
        st.integers(1, 6),
        st.integers(0, 3),
        st.sampled_from([1.0, 8.0]),
    )
    def test_any_window(self, seed: int, first: int, length: int, count: int, apart: int, spread: float) -> None:
        """The same spans, scores and confidences, in the same order, where nothing is padded."""
        logits = np.random.default_rng(seed).normal(0, spread, (first + length + 1, 2)).astype(np.float32)
        expected = by_haystack(logits, first, length, count, apart)
        found = best_spans(logits, first, length, count=count, apart=apart, number=0)
        # Haystack fills up with spans that it has ruled out, such as those that end before they start.
        expected = [one for one in expected[:-1] if one[2] > -500] + expected[-1:]
        assert [(c.offset_answer_start, c.offset_answer_end) for c in found] == [one[:2] for one in expected]
        assert [c.score for c in found] == pytest.approx([one[2] for one in expected], abs=1e-4)
        assert [c.confidence for c in found] == pytest.approx([one[3] for one in expected], abs=1e-5)

    def test_the_longest_answer(self) -> None:
        """In a window of more than a thousand tokens no answer is longer than a thousand."""
        logits = np.zeros((1302, 2), np.float32)
        logits[100, 0] = logits[1250, 1] = 5  # too far from each other
        logits[1099, 1] = 4
        found = best_spans(logits, 1, 1300, count=1, apart=0, number=0)
        assert (found[0].offset_answer_start, found[0].offset_answer_end) == (100, 1099)
        assert by_haystack(logits, 1, 1300, 1, 0)[0][:2] == (100, 1099)

    def test_the_last_is_no_answer(self) -> None:
        """The score and confidence of "no answer" are those of the first token."""
        logits = np.array([[3, 2], [0, 0], [1, 0], [0, 1], [0, 0]], np.float32)
        *_, nothing = best_spans(logits, 2, 2, count=1, apart=0, number=0)
        assert (nothing.answer_type, nothing.score) == ("no_answer", 5)
        assert nothing.confidence == pytest.approx(by_haystack(logits, 2, 2, 1, 0)[-1][3])


def test_padding_changes_haystacks_confidence_alone() -> None:
    """A window's confidence in Haystack sinks with padding, and the spans stay; ours has no padding to count."""
    logits = np.random.default_rng(3).normal(0, 2, (50, 2)).astype(np.float32)
    bare, padded = by_haystack(logits, 5, 44, 1, 0), by_haystack(logits, 5, 44, 1, 0, padding=200)
    assert padded[0][:3] == bare[0][:3]
    assert padded[0][3] < bare[0][3]
    assert best_spans(logits, 5, 44, count=1, apart=0, number=0)[0].confidence == pytest.approx(bare[0][3], abs=1e-5)
