"""One best span for a question and its context, as the question-answering pipeline of transformers gives it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers import AutoModelForQuestionAnswering, QuestionAnsweringPipeline
from transformers.modeling_outputs import QuestionAnsweringModelOutput

from qa_app.errors import InvalidRequestError
from qa_app.reading.engines import Engine, translated
from qa_app.reading.reader import PassageReader
from qa_app.reading.windows import Window

#: Code points of a context, some seventy pages; their windows are all made before the first is read, which takes
#: 200 to 900 MB by language and tokenizer.
MAX_CONTEXT = 200_000
#: Tokens of a window and those that neighbouring windows share, as transformers has them.
_WINDOW = 384
_SHARED = 128
#: Windows in a forward pass. On a processor more of them leave its cache and are slower.
_BATCH = {"cpu": 8}
_BATCH_ELSEWHERE = 64
#: Pairs handed to transformers at once, which takes notes on every code point of them before it reads the first.
_PAIRS = 64
#: Spans looked at where the best one is empty.
_CANDIDATES = 200


@dataclass(frozen=True)
class PairAnswer:
    """A span of a context, in code points: ``context[start:end] == answer``; the score is from 0 to 1."""

    score: float
    start: int
    end: int
    answer: str


class PairReader:
    """What the question-answering pipeline of transformers does, with the engine of a reader that is loaded.

    Its windows and scores are those of transformers, not FARMReader's. Reading stops at the deadline of
    :mod:`qa_app.reading.deadline`. Not to be used by two threads at once, nor beside the reader, as they share an
    engine and a tokenizer that take one caller at a time.
    """

    def __init__(self, reader: PassageReader) -> None:
        inferencer = reader.inferencer
        device = inferencer.devices[0]
        with torch.device("meta"):  # no memory for weights that are never used
            model = AutoModelForQuestionAnswering.from_config(inferencer.model.language_model.model.config)
        setattr(model, "forward", partial(_forward, inferencer.engine))  # noqa: B010 - mypy knows it as a method
        logging.getLogger("transformers.pipelines").setLevel(logging.ERROR)  # which device it uses, each time
        self._pipeline = QuestionAnsweringPipeline(
            model=model.eval(), tokenizer=inferencer.processor.tokenizer, device=-1
        )
        self._pipeline.device = torch.device("cpu")  # of what is given to the engine, not of the model without weights
        self._reader = reader
        self._batch = _BATCH.get(device.type, _BATCH_ELSEWHERE)
        self._window = min(_WINDOW, reader.limit)
        shared = min(self._window // 2, _SHARED)
        special = self._pipeline.tokenizer.num_special_tokens_to_add(pair=True)
        # Half of the rest is the context's at least: windows move by that, and where they cannot the tokenizer panics.
        self._question_tokens = (self._window - special - shared) // 2

    def predict(
        self, pairs: Sequence[tuple[str, str]], handle_impossible_answer: bool = False, *, first: int = 0
    ) -> list[PairAnswer]:
        """The answer to each question in its context, in order.

        Never empty unless ``handle_impossible_answer``, with which the empty answer at 0 may be the best. A question
        that leaves its context little room (over some 120 tokens) is cut. ``first`` is the number of the first pair in
        error messages. Raises InvalidRequestError, and DeadlineError.
        """
        for number, pair in enumerate(pairs, first):
            try:
                self.check(*pair)
            except InvalidRequestError as error:
                raise InvalidRequestError(f"pair {number}: {error}") from None
        found: dict[int, PairAnswer] = {}
        # A batch is padded to its longest window, so pairs of like length go together.
        order = sorted(range(len(pairs)), key=lambda number: sum(map(len, pairs[number])))
        for start in range(0, len(order), _PAIRS):
            numbers = order[start : start + _PAIRS]
            found.update(zip(numbers, self._answers([pairs[n] for n in numbers], handle_impossible_answer)))
        return [found[number] for number in range(len(pairs))]

    def check(self, question: str, context: str) -> None:
        """Raises InvalidRequestError where there is nothing to read, or too much."""
        for name, text in (("question", question), ("context", context)):
            try:
                text.encode()
            except UnicodeEncodeError:
                raise InvalidRequestError(f"the {name} holds half of a surrogate pair, which is not text") from None
            if not text.strip() or not self._reader.keeps(text):
                raise InvalidRequestError(f"the {name} holds nothing that the reader can read; give it words")
            if len(text) > MAX_CONTEXT:
                raise InvalidRequestError(
                    f"the {name} has {len(text)} characters; at most {MAX_CONTEXT} are taken, index longer documents"
                )

    @translated(MemoryError)
    def _answers(self, pairs: Sequence[tuple[str, str]], impossible: bool) -> list[PairAnswer]:
        questions = [self._cut(question) for question, _ in pairs]
        contexts = [context for _, context in pairs]
        given = self._read(questions, contexts, handle_impossible_answer=impossible, batch_size=self._batch)
        results = []
        for question, context, best in zip(questions, contexts, given if len(pairs) > 1 else [given]):
            span = best if _is_answer(best, context, impossible) else self._other_span(question, context, impossible)
            start, end = span["start"], span["end"]
            results.append(PairAnswer(min(float(span["score"]), 1.0), start, end, context[start:end]))
        return results

    def _read(self, question: Any, context: Any, **options: Any) -> Any:
        return self._pipeline(question=question, context=context, max_seq_len=self._window, **options)

    def _other_span(self, question: str, context: str, impossible: bool) -> dict[str, Any]:
        """The best span with words in it, where the best of all is empty or blank."""
        given = self._read(question, context, top_k=_CANDIDATES, handle_impossible_answer=impossible)
        for span in given if isinstance(given, list) else [given]:
            if _is_answer(span, context, impossible):
                return dict(span)
        # Scores so far apart that all spans round to zero: one is as good as another.
        words = ((start, end) for start, end in self._offsets(context) if context[start:end].strip())
        start, end = next(words, (0, len(context)))
        return {"score": 0.0, "start": start, "end": end}

    def _cut(self, question: str) -> str:
        # No tokenizer makes more tokens of a text than it has bytes.
        if len(question.encode()) <= self._question_tokens:
            return question
        while len(offsets := self._offsets(question)) > self._question_tokens:
            question = question[: min(offsets[self._question_tokens][0], len(question) - 1)]
        return question

    def _offsets(self, text: str) -> list[tuple[int, int]]:
        """Where the tokens of ``text`` stand in it."""
        tokens = self._pipeline.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return list(tokens["offset_mapping"])


def _forward(
    engine: Engine, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
) -> QuestionAnsweringModelOutput:
    """A model's forward pass as transformers has it, by ``engine``; the scores of padding are zero."""
    segments = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
    lengths = attention_mask.sum(dim=1).tolist()
    given = zip(input_ids.cpu().numpy(), segments.cpu().numpy(), lengths)
    scores = torch.zeros((*input_ids.shape, 2))
    for row, found in enumerate(engine.logits([Window(ids[:n], kinds[:n]) for ids, kinds, n in given])):
        scores[row, : len(found)] = torch.from_numpy(found)
    return QuestionAnsweringModelOutput(start_logits=scores[:, :, 0], end_logits=scores[:, :, 1])


def _is_answer(given: Any, context: str, impossible: bool) -> bool:
    """Whether what transformers gave is a span with words, or the empty answer where that is wanted."""
    if not isinstance(given, dict):
        return False  # an empty list: no span at all
    start, end = given["start"], given["end"]
    return bool(context[start:end].strip() or (impossible and start == end == 0))
