"""What clients may set of the pipeline."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qa_app.api.haystack import Query
from qa_app.api.parameters import Params
from qa_app.api.requests import decode
from qa_app.errors import InvalidRequestError


def checked_params(params: dict[str, Any] | None) -> tuple[dict[str, dict[str, Any]], bool]:
    """What becomes of params in a question's body."""
    query = decode(json.dumps({"query": "Who?", "params": params}).encode(), Query)
    result: tuple[dict[str, dict[str, Any]], bool] = (query.params or Params()).by_node()
    return result


def test_params_by_node() -> None:
    """Parameters stay with the node they were given for."""
    params = {"Retriever": {"top_k": 7, "filters": {"lang": "en"}, "index": "drafts"}, "Reader": {"top_k": 2}}
    assert checked_params(params) == (params, False)


def test_shared_params_go_to_every_node_that_takes_them() -> None:
    """As in Haystack, a parameter beside the nodes goes to all; one given for a node wins there."""
    nodes, debug = checked_params({"top_k": 4, "filters": {"a": 1}, "debug": True, "Reader": {"top_k": 1}})
    assert nodes == {"Retriever": {"top_k": 4, "filters": {"a": 1}}, "Reader": {"top_k": 1}}
    assert debug


def test_nothing_is_nothing() -> None:
    """No params, nulls and Haystack's page's empty filter set nothing."""
    empty = {"Retriever": {}, "Reader": {}}
    for params in (None, {}, {"filters": {}}, {"filters": None, "Retriever": None, "Reader": {"top_k": None}}):
        assert checked_params(params) == (empty, False)


@pytest.mark.case("B4", "B5")
@pytest.mark.parametrize(
    "params",
    [
        {"Ranker": {"top_k": 1}},
        {"Retriever": {"headers": {"Authorization": "x"}}},
        {"Retriever": {"all_terms_must_match": True}},
        {"Retriever": {"custom_query": "{}"}},
        {"Reader": {"no_ans_boost": 100}},
        {"headers": {}},
        {"Retriever": 5},
        {"Retriever": {"index": 5}},
        {"debug": "yes"},
        *({"Reader": {"top_k": bad}} for bad in (0, -1, 10**9, "5", True, 2.5, 101)),
        *({"Retriever": {"top_k": bad}} for bad in (0, -1, 10**9, "5", True, 2.5, 201)),
        *(
            {"filters": bad}
            for bad in (
                {"name": {}},
                {"name": {"$foo": 1}},
                {"$and": "x"},
                {"$and": []},
                {"name": {"$in": "str"}},
                {"$foo": {"a": 1}},
                [],
                "x",
                {"a": [{"b": 1}]},
            )
        ),
    ],
)
def test_everything_else_is_refused(params: dict[str, Any]) -> None:
    """Other nodes and parameters, numbers out of range and filters that Haystack would drop are 422."""
    with pytest.raises(InvalidRequestError):
        checked_params(params)


@pytest.mark.case("B4")
def test_endless_filters_are_refused() -> None:
    """Filters nested hundreds deep or with ten thousand clauses are 422, not a crash."""
    deep: Any = {"a": 1}
    for _ in range(200):
        deep = {"$and": [deep]}
    for endless in (deep, {"$or": [{"a": n} for n in range(10_000)]}):
        with pytest.raises(InvalidRequestError):
            checked_params({"filters": endless})
