"""Questions and contexts as a model takes them: the reader's own tokens and windows, kept small.

Questions and contexts are tokenized once each, whatever the number of windows that hold them, and a window is six
numbers: a hundred thousand questions take some ten megabytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qa_app.errors import ModelError, SettingsError
from qa_app.training.examples import Example

#: Tokens of a question that the reader reads.
QUESTION_TOKENS = 64
#: Far below any score, and yet a number, so that zero times it is zero.
NEVER = -1e4
#: Texts that are tokenized at once; more would only hold more memory.
_AT_ONCE = 1000
#: Widths are multiples of it: for every other shape the processor's library keeps buffers, in the end gigabytes.
_WIDTH = 8
#: Example, begin, end, length, first and last token of the answer.
_Row = tuple[int, int, int, int, int, int]


@dataclass(frozen=True)
class Tokens:
    """Texts as token ids, one after the other; text ``i`` is ``ids[first[i]:first[i + 1]]``.

    ``starts`` and ``ends`` are each token's code points in its text, the end exclusive; None where not asked for.
    """

    ids: NDArray[np.int32]
    first: NDArray[np.int64]
    starts: NDArray[np.int32] | None
    ends: NDArray[np.int32] | None

    def part(self, text: int, begin: int = 0, end: int | None = None) -> NDArray[np.int32]:
        """Token ids ``begin`` to ``end`` of a text."""
        last = self.first[text + 1] if end is None else self.first[text] + end
        return self.ids[self.first[text] + begin : last]

    def length(self, text: int) -> int:
        """How many tokens a text has."""
        return int(self.first[text + 1] - self.first[text])


def tokenize(tokenizer: Any, texts: Sequence[str], *, places: bool = False, most: int | None = None) -> Tokens:
    """The texts by a fast tokenizer, without marks around them, at most ``most`` tokens of each."""
    ids: list[NDArray[np.int32]] = [np.zeros(0, np.int32)]
    spans: list[NDArray[np.int32]] = [np.zeros((0, 2), np.int32)]
    counts = [0]
    for begin in range(0, len(texts), _AT_ONCE):
        batch = tokenizer(
            list(texts[begin : begin + _AT_ONCE]),
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            return_offsets_mapping=places,
            verbose=False,
        )
        for number, one in enumerate(batch["input_ids"]):
            ids.append(np.asarray(one[:most], np.int32))
            counts.append(len(ids[-1]))
            if places:
                spans.append(np.asarray(batch["offset_mapping"][number], np.int32).reshape(-1, 2))
    joined = np.concatenate(spans) if places else None
    return Tokens(
        ids=np.concatenate(ids),
        first=np.cumsum(np.asarray(counts, np.int64)),
        starts=None if joined is None else np.ascontiguousarray(joined[:, 0]),
        ends=None if joined is None else np.ascontiguousarray(joined[:, 1]),
    )


class Windows:
    """All windows of some examples, in their order.

    Arrays of shape (windows,): ``example``, ``lengths`` (with the marks) and ``widths``, what they are padded to at
    least, ``begin`` and ``end`` of the part of the context, and ``answer_start`` and ``answer_end``, the answer's first
    and last token in the input; both 0, where the first mark is, for an answer that does not lie in the window as a
    whole or does not exist. With ``answered``, examples that have an answer but no window that holds it as a whole are
    left out and counted in ``lost``: they would teach that there is none.
    """

    def __init__(
        self,
        tokenizer: Any,
        examples: Sequence[Example],
        *,
        max_seq_len: int = 256,
        stride: int = 128,
        answered: bool = False,
    ) -> None:
        self.marks = _Marks(tokenizer)
        room = max_seq_len - QUESTION_TOKENS - self.marks.count
        if not 0 < stride <= room:
            raise SettingsError(f"stride = {stride} leaves no room beside a question in {max_seq_len} tokens")
        contexts = {context: number for number, context in enumerate(dict.fromkeys(e.context for e in examples))}
        questions = {text: number for number, text in enumerate(dict.fromkeys(e.question for e in examples))}
        self.contexts = tokenize(tokenizer, list(contexts), places=True)
        self.questions = tokenize(tokenizer, list(questions), most=QUESTION_TOKENS)
        self.context = np.array([contexts[example.context] for example in examples], np.int32)
        self.question = np.array([questions[example.question] for example in examples], np.int32)
        rows: list[_Row] = []
        self.lost = 0
        for number, example in enumerate(examples):
            some = self._of(number, example, max_seq_len, stride)
            if answered and example.answers and not any(end for *_, end in some):
                self.lost += 1
            else:
                rows += some
        table = np.asarray(rows, np.int32).reshape(-1, 6)
        self.example, self.begin, self.end, self.lengths, self.answer_start, self.answer_end = (
            np.ascontiguousarray(column) for column in table.T
        )
        self.widths = np.minimum(-(-self.lengths // _WIDTH) * _WIDTH, self.lengths.max(initial=0))

    def __len__(self) -> int:
        return len(self.example)

    def _of(self, number: int, example: Example, max_seq_len: int, stride: int) -> list[_Row]:
        context, question = int(self.context[number]), int(self.question[number])
        asked, length = self.questions.length(question), self.contexts.length(context)
        room = max_seq_len - asked - self.marks.count
        first = self.marks.before + asked + self.marks.between
        answer = self._tokens_of(context, example.span)
        rows: list[_Row] = []
        for begin in range(0, max(length, 1), stride):
            end = min(begin + room, length)
            start = stop = 0
            if answer is not None and begin <= answer[0] and answer[1] < end:
                start, stop = first + answer[0] - begin, first + answer[1] - begin
            rows.append((number, begin, end, asked + end - begin + self.marks.count, start, stop))
            if end >= length:
                break
        return rows

    def _tokens_of(self, context: int, span: tuple[int, int] | None) -> tuple[int, int] | None:
        """The first and the last token that hold code points of the span; None where no token does."""
        if span is None:
            return None
        assert self.contexts.starts is not None
        assert self.contexts.ends is not None
        place = slice(self.contexts.first[context], self.contexts.first[context + 1])
        first = int(np.searchsorted(self.contexts.ends[place], span[0], side="right"))
        last = int(np.searchsorted(self.contexts.starts[place], span[1], side="right")) - 1
        return (first, last) if first <= last else None

    def passage_first(self, window: int) -> int:
        """Where in the input the part of the context begins."""
        return self.marks.before + self.questions.length(int(self.question[self.example[window]])) + self.marks.between

    def batch(self, windows: NDArray[np.int64], device: torch.device) -> dict[str, torch.Tensor]:
        """The inputs of some windows, padded at their ends to the widest: what the model is called with."""
        shape = (len(windows), int(self.widths[windows].max()))
        ids = np.full(shape, self.marks.padding, np.int64)
        segments, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, window in enumerate(windows):
            example = self.example[window]
            question = self.questions.part(int(self.question[example]))
            passage = self.contexts.part(int(self.context[example]), int(self.begin[window]), int(self.end[window]))
            whole = self.marks.around(question, passage)
            ids[row, : len(whole)] = whole
            mask[row, : len(whole)] = 1
            segments[row, self.passage_first(int(window)) : len(whole)] = self.marks.segment
        inputs = {"input_ids": ids, "attention_mask": mask}
        if self.marks.segments:
            inputs["token_type_ids"] = segments
        return {name: torch.from_numpy(value).to(device) for name, value in inputs.items()}

    def spans(self, scores: NDArray[np.float32], window: int, longest: int) -> tuple[float, int, int, float]:
        """The best span of a window by the scores (length, 2) of its tokens: its score, its first and last token in
        the context, and the score of "no answer". At most ``longest`` tokens."""
        nothing = float(scores[0, 0] + scores[0, 1])
        first, begin = self.passage_first(window), int(self.begin[window])
        count = int(self.end[window]) - begin
        if not count:
            return NEVER, 0, 0, nothing
        starts, ends = scores[first : first + count, 0], scores[first : first + count, 1]
        later = np.append(ends, np.full(longest - 1, -np.inf, ends.dtype))
        sums = starts[:, None] + np.lib.stride_tricks.sliding_window_view(later, longest)
        start, more = np.unravel_index(int(np.argmax(sums)), sums.shape)
        return float(sums[start, more]), begin + int(start), begin + int(start + more), nothing

    def text_place(self, example: int, first: int, last: int) -> tuple[int, int]:
        """The code points of tokens ``first`` to ``last`` of an example's context, the end exclusive."""
        assert self.contexts.starts is not None
        assert self.contexts.ends is not None
        offset = self.contexts.first[self.context[example]]
        return int(self.contexts.starts[offset + first]), int(self.contexts.ends[offset + last])


class _Marks:
    """The tokens that a tokenizer puts before, between and after a question and a context."""

    def __init__(self, tokenizer: Any) -> None:
        if not tokenizer.is_fast:
            raise ModelError(f"{tokenizer.name_or_path} has no fast tokenizer; a reader needs its offsets")
        question, context = -1, -2
        layout = tokenizer.build_inputs_with_special_tokens([question], [context])
        if question not in layout or context not in layout or layout[0] != tokenizer.cls_token_id:
            raise ModelError(f"{tokenizer.name_or_path} does not begin its inputs with a mark; choose another model")
        one, two = layout.index(question), layout.index(context)
        self._parts = [np.asarray(part, np.int32) for part in (layout[:one], layout[one + 1 : two], layout[two + 1 :])]
        self.before, self.between = len(self._parts[0]), len(self._parts[1])
        self.count = len(layout) - 2
        self.padding = tokenizer.pad_token_id or 0
        self.segments = "token_type_ids" in tokenizer.model_input_names
        self.segment = tokenizer.create_token_type_ids_from_sequences([question], [context])[two]

    def around(self, question: NDArray[np.int32], passage: NDArray[np.int32]) -> NDArray[np.int32]:
        """The whole input."""
        before, between, after = self._parts
        return np.concatenate([before, question, between, passage, after])
