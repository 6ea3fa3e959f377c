"""Labelled texts and tagged sentences of our own making, after rules that can be learnt."""

from __future__ import annotations

import random
from pathlib import Path

_PEOPLE = "Anna Berg|Tomas Lind|Mira Falk|Otto Brandt|Lena Voss|Karl Ek|Ida Holm|Jonas Rask".split("|")
_PLACES = "Bergen|Porto|Turku|Ghent|Varna|Cadiz|Malmo|Split".split("|")
_MOODS = {
    "joy": "wonderful|delightful|splendid|happy".split("|"),
    "sadness": "dreadful|gloomy|miserable|sad".split("|"),
}
_THINGS = "ferry|harbour|market|orchard|workshop|meadow|library|bakery".split("|")


def moods(count: int, seed: int) -> list[tuple[str, str]]:
    """Texts with the mood of their adjective, every third behind a sentence without one."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        mood = ("joy", "sadness")[number % 2]
        thing, place = chance.choice(_THINGS), chance.choice(_PLACES)
        before = f"{chance.choice(_PEOPLE)} reached {place} with {number} sacks of corn. " if number % 3 == 0 else ""
        rows.append((f"{before}The {thing} of {place} was {chance.choice(_MOODS[mood])} on day {number}.", mood))
    return rows


def write_csv(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows))
    return path


def write_conll(path: Path, count: int, seed: int) -> Path:
    """Sentences with people and places, in CoNLL-2003's columns and IOB1; every other is about a place alone."""
    chance = random.Random(seed)
    lines = ["-DOCSTART- -X- -X- O", ""]
    for number in range(count):
        if number and number % 5 == 0:
            lines += ["-DOCSTART- -X- -X- O", ""]
        person, place = chance.choice(_PEOPLE), chance.choice(_PLACES)
        thing, mood = chance.choice(_THINGS), chance.choice(_MOODS[chance.choice(sorted(_MOODS))])
        if number % 2:
            words = [("The", "O"), (thing, "O"), ("of", "O"), (place, "I-LOC")]
            words += [(word, "O") for word in f"was {mood} on day {number} .".split()]
        else:
            words = [(word, "I-PER") for word in person.split()] + [("reached", "O"), (place, "I-LOC")]
            words += [(word, "O") for word in f"with {number} sacks of corn .".split()]
        lines += [f"{word} NN I-NP {tag}" for word, tag in words] + [""]
    path.write_text("\n".join(lines))
    return path
