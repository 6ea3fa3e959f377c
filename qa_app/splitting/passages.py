"""Passages as spans of a text."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from qa_app.splitting.sentences import sentence_spans

# A "word" longer than this is cut, so that text without spaces (or a line of base64) makes passages of bounded size.
_WORD = re.compile(r"\S{1,40}")
#: White-space-free scripts count a character as a third of a word; a passage is never longer than this a word.
_CHARACTERS_A_WORD = 12


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
    character that is not white space is in a passage.
    """
    bounds = sorted({0, len(text), *(offset for offset in headings if 0 < offset < len(text))})
    passages: list[Passage] = []
    carried: list[_Sentence] = []
    for start, end in zip(bounds, bounds[1:]):
        sentences = [part for span in sentence_spans(text, start, end) for part in _bounded(text, *span, words)]
        sentences = carried + sentences
        carried = []
        if not sentences:
            continue
        if _only_heading(text, sentences, start, headings) and end != len(text):
            carried = sentences
            continue
        passages.extend(_section(text, sentences, words, overlap, headings))
    return passages


def _section(text: str, sentences: list[_Sentence], words: int, overlap: int, headings: Sequence[int]) -> list[Passage]:
    passages: list[Passage] = []
    first = 0
    while first < len(sentences):
        last, count = first, sentences[first].words
        while (
            last + 1 < len(sentences)
            and count + sentences[last + 1].words <= words
            and sentences[last + 1].end - sentences[first].start <= words * _CHARACTERS_A_WORD
        ):
            last += 1
            count += sentences[last].words
        start, end = sentences[first].start, sentences[last].end
        # The heading that counts is the last one at or before the passage's first sentence of text; one that is
        # carried along at the passage's head is that sentence's own.
        above = bisect_right(headings, max(start, _body_start(sentences, first, last, headings))) - 1
        passages.append(Passage(start, end, above if above >= 0 else None))
        if last + 1 == len(sentences):
            break
        following = last + 1
        shared = 0
        while following - 1 > first and shared + sentences[following - 1].words <= overlap * 1.5:
            following -= 1
            shared += sentences[following].words
        first = following
    return passages


def _body_start(sentences: list[_Sentence], first: int, last: int, headings: Sequence[int]) -> int:
    """Where the passage's last leading heading begins."""
    start = sentences[first].start
    for sentence in sentences[first : last + 1]:
        at = bisect_right(headings, sentence.start) - 1
        if at < 0 or headings[at] != sentence.start:
            break
        start = sentence.start
    return start


def _only_heading(text: str, sentences: list[_Sentence], start: int, headings: Sequence[int]) -> bool:
    """Whether a section holds nothing but its heading's line, so that it goes with what follows."""
    return start in headings and "\n" not in text[start : sentences[-1].end].strip()


def _bounded(text: str, start: int, end: int, words: int) -> list[_Sentence]:
    """The sentence, cut at words where it alone is longer than a passage."""
    limit = words * _CHARACTERS_A_WORD
    spans = [match.span() for match in _WORD.finditer(text, start, end)]
    if len(spans) <= words and end - start <= limit:
        return [_Sentence(start, end, _weight(text, start, end, len(spans)))]
    parts: list[_Sentence] = []
    begin, count = 0, 0
    for i, span in enumerate(spans):
        if count and (count == words or span[1] - spans[begin][0] > limit):
            parts.append(_Sentence(spans[begin][0], spans[i - 1][1], count))
            begin, count = i, 0
        count += 1
    parts.append(_Sentence(spans[begin][0], spans[-1][1], count))
    return parts


def _weight(text: str, start: int, end: int, words: int) -> int:
    """Words, or a third of the characters where hardly any spaces part them."""
    return max(words, (end - start) // 30)
