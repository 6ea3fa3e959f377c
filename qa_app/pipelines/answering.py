"""From a question to answers: ``Query -> Retriever -> Reader``, Haystack's own nodes and names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def ask_batch(
    pipeline: Pipeline, questions: Sequence[str], params: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """What :func:`ask` gives for each of ``questions`` with the same ``params``, read together.

    Memory grows with the number of questions, so how many come at once is the caller's choice. One that is refused
    spoils it for all; raises as :func:`ask` does.
    """
    for question in questions:
        check_question(question)
    if not questions:
        return []
    asked = dict(params or {})
    together = _for_each(asked, len(questions))
    output = _ours(lambda: pipeline.run_batch(queries=list(questions), params=together, debug=False))
    shared = {name: output[name] for name in ("root_node", "node_id")}
    results = []
    for number, question in enumerate(questions):
        found = {name: output[name][number] for name in ("answers", "documents")}
        if found["documents"]:
            found["no_ans_gap"] = output["no_ans_gaps"][number]
        results.append({"query": question, **found, **shared, "params": asked})
    return results


def _for_each(params: dict[str, Any], count: int) -> dict[str, Any]:
    """``params`` with the filters again for each question: Haystack takes a list of filters for one a question."""
    return {
        name: [value] * count if name == "filters" else _for_each(value, count) if isinstance(value, dict) else value
        for name, value in params.items()
    }


def response(result: Mapping[str, Any]) -> dict[str, Any]:
    """The body of Haystack's ``/query``: the question, answers and documents, without null fields."""

    def full(fields: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in fields.items() if value is not None}

    return {
        "query": result["query"],
        "answers": [full(answer.to_dict()) for answer in result["answers"]],
        "documents": [full(document.to_dict()) for document in result["documents"]],
    }


def run(pipeline: Pipeline, **inputs: Any) -> dict[str, Any]:
    """``pipeline.run``, with errors of ours as they were raised, and without debug output unless it is asked for."""
    # Haystack's nodes would go on with it for everybody once it was asked for.
    asked = {"debug": False, **inputs}
    return _ours(lambda: pipeline.run(**asked))


def _ours(call: Callable[[], Any]) -> dict[str, Any]:
    """What ``call`` gives, or the error of ours that it raised: Haystack wraps them in a bare Exception."""
    try:
        result: dict[str, Any] = call()
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
