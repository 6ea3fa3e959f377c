"""The published rules of the SQuAD 2.0 metric, read a second time, for the tests alone.

Nothing of the application is used, and nothing is done in its way: words are found one character run at a time instead
of by substitution, overlaps are counted by crossing words off a list, and thresholds are running totals in one list.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator
from typing import Any

_MARKS = set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def _is_word_character(character: str) -> bool:
    """What Unicode's \\w is to Python: letters, digits and other numbers, and the underscore."""
    return character.isalnum() or character == "_" or unicodedata.category(character)[0] == "N"


def words(text: str) -> list[str]:
    """Lower case, no punctuation, no articles, as a list of what white space separates."""
    kept = [character for character in text.lower() if character not in _MARKS]
    runs = ("".join(run) for _, run in itertools.groupby(kept, _is_word_character))
    return "".join(" " if run in ("a", "an", "the") else run for run in runs).split()


def overlap(gold: list[str], given: list[str]) -> float:
    if gold == given == []:
        return 1.0
    left, same = list(gold), 0
    for word in given:
        if word in left:
            left.remove(word)
            same += 1
    if same == 0:
        return 0.0
    precision, recall = same / len(given), same / len(gold)
    return (2 * precision * recall) / (precision + recall)


class Tally:
    """Counts one question after the other."""

    def __init__(self) -> None:
        self.exact: list[float] = []
        self.f1: list[float] = []

    def add(self, exact: float, f1: float) -> None:
        self.exact.append(exact)
        self.f1.append(f1)

    def told(self, prefix: str = "") -> Iterator[tuple[str, float]]:
        if self.exact:
            yield f"{prefix}exact", 100.0 * sum(self.exact) / len(self.exact)
            yield f"{prefix}f1", 100.0 * sum(self.f1) / len(self.f1)
            yield f"{prefix}total", len(self.exact)


def official(
    data: dict[str, Any], predictions: dict[str, str], scores: dict[str, float] | None = None, threshold: float = 1.0
) -> dict[str, float]:
    """The figures of predictions for a SQuAD file that has one for each question."""
    everything, answerable, impossible = Tally(), Tally(), Tally()
    raw: dict[str, tuple[bool, float, float]] = {}
    asked = [qa for article in data["data"] for paragraph in article["paragraphs"] for qa in paragraph["qas"]]
    for qa in asked:
        given = words(predictions[qa["id"]])
        golds = [gold for gold in (words(answer["text"]) for answer in qa["answers"]) if gold] or [[]]
        has_answer = len(qa["answers"]) > 0
        exact, f1 = float(given in golds), max(overlap(gold, given) for gold in golds)
        raw[qa["id"]] = has_answer, exact, f1
        if scores is not None and scores[qa["id"]] > threshold:
            exact = f1 = 0.0 if has_answer else 1.0
        everything.add(exact, f1)
        (answerable if has_answer else impossible).add(exact, f1)
    result = dict(itertools.chain(everything.told(), answerable.told("HasAns_"), impossible.told("NoAns_")))
    if scores is not None:
        order = [id for id, _ in sorted(scores.items(), key=lambda item: item[1]) if id in raw]
        empty = sum(not has_answer for has_answer, _, _ in raw.values())
        for name, which in (("exact", 1), ("f1", 2)):
            steps = [raw[id][which] if raw[id][0] else -1 if predictions[id] else 0 for id in order]
            totals = list(itertools.accumulate(steps, initial=empty))
            best = max(totals)
            step = totals.index(best)
            result[f"best_{name}"] = 100.0 * best / len(raw)
            result[f"best_{name}_thresh"] = scores[order[step - 1]] if step else 0.0
    return result
