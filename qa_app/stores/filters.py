"""Haystack's filter language, parsed strictly.

Haystack drops what it does not know, and an empty clause then matches the whole store. Here an unknown operator, an
empty clause or a value of the wrong kind is an InvalidRequestError that names it.

======================  ==================================================================================
``{"lang": "en"}``      the field has the value, or a list that holds it
``{"lang": [..]}``      ``$in``: one of the values
``$eq`` with a list     the field is a list of exactly these values, in any order
``$ne``, ``$nin``       the opposite, which holds for documents without the field too
``$gt $gte $lt $lte``   numbers by size, texts by code points; a text is never compared with a number
``$and $or $not``       take a clause or a list of clauses, whose entries all are operands, as Haystack has it:
                        ``{"$or": {"a": 1, "b": 2}}`` is a or b; ``$not`` means none of them
======================  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from qa_app.errors import InvalidRequestError
from qa_app.stores.metadata import Scalar, check_key, check_scalar

MAX_DEPTH = 20
MAX_CLAUSES = 1000
LOGICAL = ("$and", "$or", "$not")
RANGES = ("$gt", "$gte", "$lt", "$lte")


@dataclass(frozen=True)
class All:
    """Every part holds."""

    parts: tuple[Clause, ...]


@dataclass(frozen=True)
class Either:
    """At least one part holds."""

    parts: tuple[Clause, ...]


@dataclass(frozen=True)
class Not:
    """The part does not hold."""

    part: Clause


@dataclass(frozen=True)
class In:
    """The field has one of the values."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class SameList:
    """The field is a list of exactly these values."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Range:
    """The field has a value on one side of ``value``; ``operator`` is one of :data:`RANGES`."""

    field: str
    operator: str
    value: str | float


Clause: TypeAlias = "All | Either | Not | In | SameList | Range"


def parse(filters: object) -> Clause | None:
    """The filter as a tree, None where ``filters`` is None or ``{}``; raises InvalidRequestError."""
    if filters is None or filters == {}:
        return None
    return _Parser().clause(filters, 0)


def parse_required(filters: object) -> Clause:
    """Like :func:`parse`, but an empty filter is an error; for operations that must never mean everything."""
    clause = parse(filters)
    if clause is None:
        raise InvalidRequestError(
            "the filter is empty and would match every document; name a field, or use the operation for everything"
        )
    return clause


class _Parser:
    def __init__(self) -> None:
        self.clauses = 0

    def _count(self, depth: int) -> None:
        self.clauses += 1
        if depth > MAX_DEPTH:
            raise InvalidRequestError(f"the filter is nested more than {MAX_DEPTH} deep")
        if self.clauses > MAX_CLAUSES:
            raise InvalidRequestError(f"the filter has more than {MAX_CLAUSES} clauses")

    def clause(self, tree: object, depth: int) -> Clause:
        return _all(self._entries(tree, depth))

    def _entries(self, tree: object, depth: int) -> list[Clause]:
        self._count(depth)
        if not isinstance(tree, Mapping):
            raise InvalidRequestError(f"a filter must be an object such as {{'lang': 'en'}}, not {_shown(tree)}")
        if not tree:
            raise InvalidRequestError("a clause of the filter is empty")
        return [self._entry(key, value, depth + 1) for key, value in tree.items()]

    def _entry(self, key: object, value: object, depth: int) -> Clause:
        if key in LOGICAL:
            trees = value if isinstance(value, list) else [value]
            if not trees:
                raise InvalidRequestError(f"{key} of the filter has no clauses")
            parts = [part for tree in trees for part in self._entries(tree, depth)]
            if key == "$and":
                return _all(parts)
            either = parts[0] if len(parts) == 1 else Either(tuple(parts))
            return either if key == "$or" else Not(either)
        if isinstance(key, str) and key.startswith("$"):
            raise InvalidRequestError(
                f"the filter has an unknown operator {key[:40]!r} where a field belongs; "
                f"there are {', '.join(LOGICAL)} around fields, and $eq $ne $in $nin $gt $gte $lt $lte under a field"
            )
        field = check_key(key)
        if isinstance(value, Mapping):
            if not value:
                raise InvalidRequestError(f"the filter on {field!r} is empty")
            return _all([self._comparison(field, op, operand, depth + 1) for op, operand in value.items()])
        return self._comparison(field, "$in" if isinstance(value, list) else "$eq", value, depth)

    def _comparison(self, field: str, operator: object, value: object, depth: int) -> Clause:
        self._count(depth)
        what = f"{operator} of the filter on {field!r}"
        if operator in LOGICAL:
            trees = value if isinstance(value, list) else [value]
            return self._entry(operator, [{field: tree} for tree in trees], depth)
        if operator in ("$eq", "$ne"):
            if isinstance(value, list):
                same: Clause = SameList(field, self._values(value, what))
            else:
                same = In(field, (check_scalar(value, what),))
            return same if operator == "$eq" else Not(same)
        if operator in ("$in", "$nin"):
            if not isinstance(value, list):
                raise InvalidRequestError(f"{what} needs a list of values, not {_shown(value)}")
            one_of = In(field, self._values(value, what))
            return one_of if operator == "$in" else Not(one_of)
        if operator in RANGES:
            scalar = check_scalar(value, what)
            if isinstance(scalar, bool):
                raise InvalidRequestError(f"{what} needs a number or a text, not {_shown(value)}")
            return Range(field, str(operator), scalar if isinstance(scalar, str) else float(scalar))
        raise InvalidRequestError(
            f"{_shown(operator)} of the filter on {field!r} is not an operator; "
            f"there are $eq $ne $in $nin {' '.join(RANGES)}"
        )

    def _values(self, values: list[Any], what: str) -> tuple[Scalar, ...]:
        if not values:
            raise InvalidRequestError(f"{what} has an empty list")
        self.clauses += len(values)
        self._count(0)
        return tuple(check_scalar(value, what) for value in values)


def _all(parts: list[Clause]) -> Clause:
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
