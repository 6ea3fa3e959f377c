"""BM25 over FTS5, fast on large indexes.

FTS5 scores every row that matches any word (about 1.4 µs each), so a question with everyday words costs a tenth of a
second on 200,000 passages. Words that more than half of the passages hold add almost nothing to BM25 and are left out.
Where many rows still match, rare words alone choose the candidates and frequent ones only add to their scores; below
:data:`ROWS` matching rows, the result is exact.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from qa_app.stores.metadata import Scalar
from qa_app.stores.passage_store import MAX_QUERY_WORDS

#: Lucene's English stop words, which Elasticsearch's analyzer drops too.
STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "but",
        "by",
        "for",
        "if",
        "in",
        "into",
        "is",
        "it",
        "no",
        "not",
        "of",
        "on",
        "or",
        "such",
        "that",
        "the",
        "their",
        "then",
        "there",
        "these",
        "they",
        "this",
        "to",
        "was",
        "will",
        "with",
    ]
)
#: Rows that one query may score before it is narrowed; 6,000 cost some 10 ms.
ROWS = 6_000

Condition = tuple[str, Sequence[Scalar]]
Ranked = list[tuple[int, float]]


def words_of(query: str) -> list[str]:
    """The distinct words to search for, in the order of the question, cut after :data:`MAX_QUERY_WORDS`.

    Stop words are left out unless there is nothing else.
    """
    words = list(dict.fromkeys(word.lower() for word in re.findall(r"[^\W_]+", query)))
    return ([word for word in words if word not in STOP_WORDS] or words)[:MAX_QUERY_WORDS]


@dataclass
class Statistics:
    """How many passages hold a word, counted once per state of the database and connection."""

    state: tuple[int, int] = (-1, -1)
    counts: dict[tuple[int, str], int] = field(default_factory=dict)

    def passages_with(self, connection: sqlite3.Connection, number: int, word: str) -> int:
        """How many passages of index ``number`` hold the word; "" counts all passages."""
        state = (connection.execute("PRAGMA data_version").fetchone()[0], connection.total_changes)
        if state != self.state:
            self.state = state
            self.counts.clear()
        key = (number, word)
        if key not in self.counts:
            if word:
                row = connection.execute(
                    f"SELECT count(*) FROM words_{number} WHERE words_{number} MATCH ?", (f'"{word}"',)
                )
            else:
                row = connection.execute(f"SELECT count(*) FROM documents_{number}")
            self.counts[key] = row.fetchone()[0]
        return self.counts[key]


def search(
    connection: sqlite3.Connection,
    statistics: Statistics,
    number: int,
    query: str,
    top_k: int,
    every_word: bool,
    condition: Condition | None,
) -> Ranked:
    """The best ``top_k`` rows of ``documents_{number}`` with their BM25 scores, best first."""

    def run(expression: str) -> Ranked:
        words = f"words_{number}"
        sql, parameters = condition or ("1", ())
        rows = connection.execute(
            f"SELECT {words}.rowid, -{words}.rank FROM {words} JOIN documents_{number} AS d ON d.number = {words}.rowid"
            f" WHERE {words} MATCH ? AND {sql} ORDER BY {words}.rank LIMIT ?"
            if condition
            else f"SELECT rowid, -rank FROM {words} WHERE {words} MATCH ? ORDER BY rank LIMIT ?",
            (expression, *parameters, top_k),
        )
        return [(row[0], row[1]) for row in rows]

    counts = {word: statistics.passages_with(connection, number, word) for word in words_of(query)}
    if every_word:
        return run(_all(counts)) if counts and all(counts.values()) else []
    found = sorted((word for word in counts if counts[word]), key=lambda word: counts[word])
    if not found:
        return []
    if sum(counts[word] for word in found) <= ROWS:
        return run(_any(found))

    half = statistics.passages_with(connection, number, "") / 2
    telling = [word for word in found if counts[word] <= half] or found[:1]
    chosen = telling[:1]
    for word in telling[1:]:
        if sum(counts[other] for other in [*chosen, word]) > ROWS:
            break
        chosen.append(word)
    others = telling[len(chosen) :]
    candidates = _any(chosen)
    if counts[chosen[0]] > ROWS and others:
        candidates = _all([chosen[0], others[0]])
        others = others[1:]
    best = dict(run(candidates))
    if others:
        # Rows with a frequent word too, scored with it; a row's higher score is the complete one.
        for row, score in run(f"({candidates}) AND ({_any(others)})"):
            best[row] = max(score, best.get(row, 0.0))
    if len(best) < top_k and telling != chosen:
        best = dict(run(_any(telling)))
    return sorted(best.items(), key=lambda item: (-item[1], item[0]))[:top_k]


def _any(words: Sequence[str]) -> str:
    return " OR ".join(f'"{word}"' for word in words)


def _all(words: Sequence[str] | dict[str, int]) -> str:
    return " AND ".join(f'"{word}"' for word in words)
