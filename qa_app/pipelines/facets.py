"""What documents can be filtered by: the metadata of an index's files, with the numbers of files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from haystack.schema import Document

from qa_app.converters.identity import OWN_KEYS
from qa_app.stores.metadata import Scalar, filterable

Kind = Literal["text", "number", "boolean", "mixed"]

MAX_VALUES = 50
#: Longer values are prose, which nobody picks from a list.
MAX_LENGTH = 200
#: Where more files all have values of their own, such as titles, a list of them says nothing.
_OWN_VALUES = 20


@dataclass(frozen=True)
class Facet:
    """A field: its values with their numbers of files, the most frequent first, and how many values are left out."""

    field: str
    kind: Kind
    values: list[tuple[Scalar, int]]
    others: int


def count(files: Iterable[Document]) -> tuple[list[Facet], int]:
    """The fields of files that people gave or converters found, by name, and the number of the files.

    Each value, as ``{field: value}`` in Haystack's filter language, matches the passages of just the files counted.
    """
    # By type too: 1, 1.0 and True are one to a dictionary, and not to a filter.
    counts: dict[str, Counter[tuple[str, Any]]] = {}
    having: Counter[str] = Counter()
    total = 0
    for file in files:
        total += 1
        for field, value in file.meta.items():
            if field in OWN_KEYS and field != "media_type":
                continue
            values = {(_kind(one), one) for one in filterable(value) if not isinstance(one, str) or _fits(one)}
            if values:
                having[field] += 1
                counts.setdefault(field, Counter()).update(values)
    facets = [
        _facet(field, counter)
        for field, counter in sorted(counts.items())
        if having[field] <= _OWN_VALUES or max(counter.values()) > 1
    ]
    return facets, total


def _facet(field: str, counter: Counter[tuple[str, Any]]) -> Facet:
    ordered = sorted(counter.items(), key=lambda item: (-item[1], str(item[0][1])))
    kinds = {kind for kind, _ in counter}
    kind: Any = kinds.pop() if len(kinds) == 1 else "mixed"
    listed = [(value, files) for (_, value), files in ordered[:MAX_VALUES]]
    return Facet(field, kind, listed, len(ordered) - len(listed))


def _kind(value: Scalar) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number"


def _fits(text: str) -> bool:
    return 0 < len(text) <= MAX_LENGTH
