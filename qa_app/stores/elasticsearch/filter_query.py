"""Filters as queries over the tokens of metadata."""

from __future__ import annotations

from typing import Any

from qa_app.stores.elasticsearch.tokens import NUMBER, TEXT, bounds, length_token, token
from qa_app.stores.filters import All, Clause, Either, In, Not, Range

Query = dict[str, Any]


def compile_query(clause: Clause) -> Query:
    """The filter in Elasticsearch's language, to stand in filter context."""
    if isinstance(clause, All):
        return {"bool": {"filter": [compile_query(part) for part in clause.parts]}}
    if isinstance(clause, Either):
        return {"bool": {"should": [compile_query(part) for part in clause.parts], "minimum_should_match": 1}}
    if isinstance(clause, Not):
        return {"bool": {"must_not": [compile_query(clause.part)]}}
    if isinstance(clause, In):
        return {"terms": {"fields": [token(clause.field, value) for value in clause.values]}}
    if isinstance(clause, Range):
        start, end = bounds(clause.field, TEXT if isinstance(clause.value, str) else NUMBER)
        limits = {"gte": start, "lt": end}
        operator = clause.operator.removeprefix("$")
        # The comparison takes the place of the bound on its own side.
        limits.pop("gte" if operator.startswith("g") else "lt")
        limits[operator] = token(clause.field, clause.value)
        return {"range": {"fields": limits}}
    same = [length_token(clause.field, len(clause.values)), *(token(clause.field, value) for value in clause.values)]
    return {"bool": {"filter": [{"term": {"fields": one}} for one in same]}}
