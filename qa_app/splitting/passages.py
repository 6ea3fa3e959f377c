"""Passages as spans of a text."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from qa_app.splitting.sentences import sentence_spans

# What counts as a word. Three characters do in the scripts that put no spaces between words (Thai to Khmer, kana, Han).
# A longer "word" is cut, so that a line of base64 makes passages of bounded size.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_UNSPACED}]{{1,3}}|[^\s{_UNSPACED}]{{1,40}}")
_WITHOUT_SPACES = re.compile(f"[{_UNSPACED}]")
#: A passage is never longer than this many characters a word, and one such "word" always fits.
_CHARACTERS_A_WORD = 12
_LONGEST_WORD = 40


@dataclass(frozen=True, slots=True)
class Passage:
    """``text[start:end]``; ``heading`` is the index of the heading above it, or None."""

    start: int
    end: int
    heading: int | None


@dataclass(slots=True)
class _Sentence:
    start: int
    end: int
    words: int


def split(text: str, words: int, overlap: int, headings: Sequence[int] = ()) -> list[Passage]:
    """Passages of about ``words`` words that share about ``overlap`` words with the one before.

    ``headings`` are the sorted offsets where headings begin. A passage begins with a sentence and ends with one, unless
    the sentence alone is longer than a passage; a heading begins a passage and stays with the text under it. Every
    character that is not white space is in a passage, and no passage lies within another.
    """
    bounds = sorted({0, len(text), *(offset for offset in headings if 0 < offset < len(text))})
    starts = frozenset(headings)
    passages: list[Passage] = []
    carried: list[_Sentence] = []
    for start, end in pairwise(bounds):
        sentences = [part for span in sentence_spans(text, start, end) for part in _bounded(text, *span, words)]
        sentences = carried + sentences
        carried = []
        if not sentences:
            continue
        if end != len(text) and _only_title(text, start, sentences[-1].end, start in starts):
            carried = sentences
            continue
        passages.extend(_section(sentences, words, overlap, headings))
    return passages


def _section(sentences: list[_Sentence], words: int, overlap: int, headings: Sequence[int]) -> list[Passage]:
    limit = _limit(words)
    passages: list[Passage] = []
    first = 0
    while True:
        last, count = first, sentences[first].words
        while (
            last + 1 < len(sentences)
            and count + sentences[last + 1].words <= words
            and sentences[last + 1].end - sentences[first].start <= limit
        ):
            last += 1
            count += sentences[last].words
        start, end = sentences[first].start, sentences[last].end
        # The heading that counts is the last one at or before the passage's first sentence of text; one that is
        # carried along at the passage's head is that sentence's own.
        above = bisect_right(headings, max(start, _body_start(sentences, first, last, headings))) - 1
        passages.append(Passage(start, end, above if above >= 0 else None))
        if last + 1 == len(sentences):
            return passages
        # Sentences are shared as far as the sentence after them still fits; else the next passage would end where
        # this one does.
        following = sentences[last + 1]
        shared = 0
        beginning = last + 1
        while (
            beginning - 1 > first
            and (more := shared + sentences[beginning - 1].words) <= overlap * 1.5
            and more + following.words <= words
            and following.end - sentences[beginning - 1].start <= limit
        ):
            beginning -= 1
            shared = more
        first = beginning


def _body_start(sentences: list[_Sentence], first: int, last: int, headings: Sequence[int]) -> int:
    """Where the passage's last leading heading begins."""
    start = sentences[first].start
    for sentence in sentences[first : last + 1]:
        at = bisect_right(headings, sentence.start) - 1
        if at < 0 or headings[at] != sentence.start:
            break
        start = sentence.start
    return start


def _only_title(text: str, start: int, end: int, heading: bool) -> bool:
    """Whether a section is nothing but a heading's line, or the text's title, so that it goes with what follows."""
    line = text[start:end].strip()
    return "\n" not in line and (heading or (start == 0 and line[-1:].isalnum()))


def _limit(words: int) -> int:
    """Characters that a passage of so many words may have."""
    return max(words * _CHARACTERS_A_WORD, _LONGEST_WORD)


def _bounded(text: str, start: int, end: int, words: int) -> list[_Sentence]:
    """The sentence, cut at words where it alone is longer than a passage."""
    limit = _limit(words)
    if end - start <= limit and (number := _count(text[start:end])) <= words:
        return [_Sentence(start, end, number)]
    spans = [match.span() for match in _WORD.finditer(text, start, end)]
    parts: list[_Sentence] = []
    begin, count = 0, 0
    for i, span in enumerate(spans):
        if count and (count == words or span[1] - spans[begin][0] > limit):
            parts.append(_Sentence(spans[begin][0], spans[i - 1][1], count))
            begin, count = i, 0
        count += 1
    parts.append(_Sentence(spans[begin][0], spans[-1][1], count))
    return parts


def _count(sentence: str) -> int:
    """How many words there are; where spaces part them all and none is cut, splitting is the fastest way to tell."""
    words = sentence.split()
    if max(map(len, words)) > _LONGEST_WORD or (not sentence.isascii() and _WITHOUT_SPACES.search(sentence)):
        return len(_WORD.findall(sentence))
    return len(words)
