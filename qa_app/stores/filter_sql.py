"""Filters as conditions of SQL over a column that holds metadata as JSON."""

from __future__ import annotations

from qa_app.stores.filters import All, Clause, Either, In, Not, SameList
from qa_app.stores.metadata import Scalar

_COMPARE = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
Condition = tuple[str, list[Scalar]]


def compile_sql(clause: Clause, column: str) -> Condition:
    """The condition and its parameters; ``column`` is trusted SQL naming the JSON text."""
    if isinstance(clause, (All, Either)):
        return _join([compile_sql(part, column) for part in clause.parts], "AND" if isinstance(clause, All) else "OR")
    if isinstance(clause, Not):
        sql, parameters = compile_sql(clause.part, column)
        return f"NOT {sql}", parameters
    # The path is a parameter, never spliced in; check_key keeps quotes out of field names.
    path = f'$."{clause.field}"'
    if isinstance(clause, In):
        return _element(column, path, _join([_equals(value) for value in clause.values], "OR"))
    if isinstance(clause, SameList):
        size: Condition = (
            f"(json_type({column}, ?) = 'array' AND json_array_length({column}, ?) = ?)",
            [path, path, len(clause.values)],
        )
        return _join([size, *(_element(column, path, _equals(value)) for value in clause.values)], "AND")
    kinds = "= 'text'" if isinstance(clause.value, str) else "IN ('integer', 'real')"
    return _element(column, path, (f"type {kinds} AND value {_COMPARE[clause.operator]} ?", [clause.value]))


def _join(conditions: list[Condition], operator: str) -> Condition:
    sql = f" {operator} ".join(sql for sql, _ in conditions)
    return f"({sql})", [parameter for _, parameters in conditions for parameter in parameters]


def _element(column: str, path: str, condition: Condition) -> Condition:
    """The field itself, or one element of the flat list it holds, meets the condition; nested values meet none."""
    sql, parameters = condition
    flat = f"NOT EXISTS (SELECT 1 FROM json_each({column}, ?) WHERE type IN ('object', 'array', 'null'))"
    return (
        f"(EXISTS (SELECT 1 FROM json_each({column}, ?) WHERE {sql})"
        f" AND json_type({column}, ?) <> 'object' AND {flat})",
        [path, *parameters, path, path],
    )


def _equals(value: Scalar) -> Condition:
    if isinstance(value, bool):
        return f"type = '{'true' if value else 'false'}'", []
    if isinstance(value, str):
        return "(type = 'text' AND value = ?)", [value]
    return "(type IN ('integer', 'real') AND value = ?)", [value]
