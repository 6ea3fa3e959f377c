"""Which characters that PDFium sees on a page are those of a stretch of the extracted text.

By position, never by looking for words: what a page says twice is found where it was meant, and where that is not
certain nothing is found.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import accumulate

#: Characters with their places.
Chars = Iterable[tuple[str, int]]

#: Pairs of equal words; a page of a thousand words has some ten thousand, and a million take seconds.
_MAX_PAIRS = 1_000_000
#: PDFium has marks of its own for hyphens at the end of a line, and hyphens for soft ones within it.
_HYPHENS = dict.fromkeys("\u0002\u00ad\u2010\u2011\ufffe", "-")
_NOTHING = frozenset("\u200b\ufeff")


@dataclass(frozen=True)
class _Folded:
    """Characters without blanks and in one form each, the place of each, and where words begin among them."""

    chars: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    begins: list[int] = field(default_factory=list)

    def words(self) -> list[str]:
        ends = [*self.begins[1:], len(self.chars)]
        return ["".join(self.chars[begin:end]) for begin, end in zip(self.begins, ends)]


def align(text: str, start: int, end: int, shown: Chars) -> list[int] | None:
    """The places of the characters shown that are ``text[start:end]``, in its order; None where that is not certain.

    Blanks are of no account, nor are ligatures, wide and composed forms, and kinds of hyphens. Where both have the same
    characters, the n-th is the n-th; elsewhere words are matched in their order.
    """
    mine, theirs = _folded((char, n) for n, char in enumerate(text)), _folded(shown)
    found: list[int] | None = [n for n, place in enumerate(mine.places) if start <= place < end]
    if found and mine.chars != theirs.chars:
        found = _matched(found, mine.words(), theirs.words())
    # Parts of one character, such as a ligature's, are in one place.
    return list(dict.fromkeys(theirs.places[n] for n in found)) if found else None


def _folded(characters: Chars) -> _Folded:
    folded = _Folded()
    begins = True
    for char, place in characters:
        char = _HYPHENS.get(char, char)
        for one in unicodedata.normalize("NFKD", char):
            if one.isspace() or one in _NOTHING or unicodedata.category(one) == "Cc":
                begins = begins or one.isspace()
                continue
            if begins:
                folded.begins.append(len(folded.chars))
            folded.chars.append(one)
            folded.places.append(place)
            # PDFium joins a word that is broken over two lines.
            begins = one == "-"
    return folded


def _matched(wanted: Sequence[int], words: list[str], others: list[str]) -> list[int] | None:
    """The partners of the characters ``wanted``, where they are sure, and one after the other."""
    mine, theirs = Counter(words), Counter(others)
    if sum(count * theirs[word] for word, count in mine.items()) > _MAX_PAIRS:
        return None
    forwards = _partners(words, others)
    # Where words that repeat may be matched in several ways, the two directions choose different ones.
    backwards = _partners(_reversed(words), _reversed(others))
    last, other_last = sum(map(len, words)) - 1, sum(map(len, others)) - 1
    found = [forwards.get(n) for n in wanted]
    if None in found or found != [other_last - backwards.get(last - n, -1) for n in wanted]:
        return None
    places = [n for n in found if n is not None]
    # Words that were matched apart are not the ones that were read as one stretch.
    return places if places == list(range(places[0], places[0] + len(places))) else None


def _reversed(words: list[str]) -> list[str]:
    return [word[::-1] for word in reversed(words)]


def _partners(words: list[str], others: list[str]) -> dict[int, int]:
    """Characters of words -> those of others, where words, or what stands between two that match, are the same."""
    begins = list(accumulate(map(len, words), initial=0))
    other_begins = list(accumulate(map(len, others), initial=0))
    found: dict[int, int] = {}
    at = other_at = 0
    for one, other, size in SequenceMatcher(None, words, others, autojunk=False).get_matching_blocks():
        # Blanks within a word, or none between two, make other words of the same characters.
        if "".join(words[at:one]) != "".join(others[other_at:other]):
            at, other_at = one, other
        count = begins[one + size] - begins[at]
        found.update((begins[at] + n, other_begins[other_at] + n) for n in range(count))
        at, other_at = one + size, other + size
    return found
