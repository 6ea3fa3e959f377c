"""From a question to answers: ``Query -> Retriever -> Reader``, Haystack's own nodes and names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from haystack import Pipeline
from haystack.nodes import BM25Retriever

from qa_app.errors import QaAppError
from qa_app.pipelines.questions import check_question
from qa_app.stores.passage_store import PassageStore

if TYPE_CHECKING:
    # Ingestion shares this module and must not pay for torch.
    from qa_app.reading.reader import PassageReader


def answering_pipeline(store: PassageStore, reader: PassageReader, passages: int) -> Pipeline:
    """A pipeline that retrieves ``passages`` passages and reads them.

    Saves to Haystack's YAML, which is loaded after ``import qa_app.nodes``.
    """
    pipeline = Pipeline()
    pipeline.add_node(BM25Retriever(document_store=store, top_k=passages), name="Retriever", inputs=["Query"])
    pipeline.add_node(reader, name="Reader", inputs=["Retriever"])
    return pipeline


def ask(pipeline: Pipeline, question: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Haystack's answer to a query: ``query``, ``answers`` best first, and the ``documents`` that were read.

    Raises InvalidRequestError for a question without words, and whatever the store or the reader raise.
    """
    check_question(question)
    result: dict[str, Any] = run(pipeline, query=question, params=dict(params or {}))
    return result


def run(pipeline: Pipeline, **inputs: Any) -> dict[str, Any]:
    """``pipeline.run``, with errors of ours as they were raised: Haystack wraps them in a bare Exception."""
    try:
        result: dict[str, Any] = pipeline.run(**inputs)
    except QaAppError:
        raise
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, QaAppError):
            cause = cause.__cause__
        if cause is None:
            raise
        raise cause from None
    return result
