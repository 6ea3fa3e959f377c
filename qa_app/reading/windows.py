"""What a forward pass takes: a question and as much of a passage as the model sees at once, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from haystack.modeling.data_handler.processor import SquadProcessor
from haystack.modeling.data_handler.samples import SampleBasket
from haystack.modeling.model.feature_extraction import tokenize_batch_question_answering
from numpy.typing import NDArray


@dataclass(frozen=True)
class Window:
    """Token ids and segment ids of one input, both int64 of shape (length,)."""

    ids: NDArray[np.int64]
    segments: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


def windows_of(processor: SquadProcessor, dicts: Sequence[dict[str, Any]]) -> tuple[list[Window], list[SampleBasket]]:
    """The windows of questions about texts, and the baskets whose samples they are, in the same order.

    Tokens and windows are those of FARMReader's processor; its last step, which pads each window to ``max_seq_len``
    and goes through Python lists number by number, is left out.
    """
    given = [processor.convert_qa_input_dict(one) for one in dicts]
    baskets = tokenize_batch_question_answering(given, processor.tokenizer, list(range(len(given))))
    # A basket without samples would shift the answers of those after it.
    baskets = [basket for basket in processor._split_docs_into_passages(baskets) if basket.samples]
    windows = []
    for basket in baskets:
        for sample in basket.samples:
            question, passage = sample.tokenized["question_tokens"], sample.tokenized["passage_tokens"]
            ids = processor.tokenizer.build_inputs_with_special_tokens(question, passage)
            segments = processor.tokenizer.create_token_type_ids_from_sequences(question, passage)
            windows.append(Window(np.array(ids, np.int64), np.array(segments, np.int64)))
            sample.features = [
                {
                    "passage_start_t": sample.tokenized["passage_start_t"],
                    "seq_2_start_t": processor.sp_toks_start + len(question) + processor.sp_toks_mid,
                    "passage_length": len(passage),
                }
            ]
    return windows, baskets
