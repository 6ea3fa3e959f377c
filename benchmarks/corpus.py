"""Texts and questions for measuring, the same for the same seed and the same samples.

The sentences are those of ``samples/`` with everyday words as they stand and all other words exchanged: for words of
the samples, for made-up ones, and in every third place for the few words that their text is about, as real texts repeat
their subjects. So everyday words are in a tenth to nearly all of the passages, the others in ever fewer, and most names
in a handful. Questions are the samples' own questions with words out of a passage in place of theirs.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks.words import Pool, made_up_words

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
SEED = 20
PASSAGE_WORDS = 100
#: Words of a file that makes eight passages of a hundred words, twenty of which are shared with the one before.
_FILE_WORDS = 490
_NAMES, _TERMS = 120_000, 60_000
#: A word that the samples use as often is an everyday one and stays.
_EVERYDAY = 20
_TOKEN = re.compile(r"[^\W\d_]+|\d+")
_SENTENCE = re.compile(r"(?<=[a-z0-9)][.?!]) (?=[A-Z])")
_NAME, _TERM, _NUMBER = "name", "term", "number"


@dataclass(frozen=True, slots=True)
class _Frame:
    """A sentence with gaps: ``pattern`` is filled with a word for each of ``gaps``, which are kinds of words."""

    pattern: str
    gaps: tuple[str, ...]
    words: int


@dataclass(frozen=True, slots=True)
class Passage:
    """A text, of about a hundred words unless it is a file's, with the exchanged words of each of its sentences."""

    text: str
    sentences: tuple[tuple[tuple[str, str], ...], ...]


class Corpus:
    """Files, passages and questions by number, each made alone, whichever others are made."""

    def __init__(self, seed: int = SEED) -> None:
        self._seed = seed
        contexts, questions = _samples()
        tokens = [token for text in contexts for token in _TOKEN.findall(text)]
        counts = Counter(token.lower() for token in tokens)
        asked = Counter(token.lower() for text in questions for token in _TOKEN.findall(text))
        self._everyday = {word for word, count in counts.items() if count >= _EVERYDAY}
        # "Which", "did" and their like are everyday words of questions alone.
        asking = self._everyday | {word for word, count in asked.items() if count >= _EVERYDAY}
        self._frames = [self._frame(part, self._everyday) for text in contexts for part in _SENTENCE.split(text)]
        self._questions = [frame for frame in (self._frame(text, asking) for text in questions) if frame.gaps]
        rng = random.Random(f"{seed} words")
        # A word that begins a sentence is a name only if it never stands in lower case.
        lower = {token for token in tokens if token.islower()}
        own: dict[str, list[str]] = {_NAME: [], _TERM: []}
        for word, _ in counts.most_common():
            if word not in self._everyday and not word.isdigit() and len(word) > 1:
                own[_TERM if word in lower else _NAME].append(word)
        made_up = made_up_words(_NAMES + _TERMS, rng)
        self._pools = {
            _NAME: Pool([word.capitalize() for word in own[_NAME] + made_up[:_NAMES]]),
            _TERM: Pool(own[_TERM] + made_up[_NAMES:]),
        }

    def file(self, number: int) -> str:
        """The text of a file of 3 to 5 KB: a title and paragraphs."""
        return self._written(number).text

    def question_about_file(self, number: int) -> str:
        """As :meth:`question`, with words of a sentence of that file."""
        return self.question(self._written(number), number)

    def passages(self, number: int, count: int = 8) -> list[Passage]:
        """The passages of a text about one subject, each of about a hundred words, none shared."""
        rng = random.Random(f"{self._seed} passages {number}")
        subjects = self._subjects(rng)
        return [self._passage(rng, subjects) for _ in range(count)]

    def question(self, passage: Passage, number: int) -> str:
        """One of the samples' questions with words of one of the passage's sentences in place of its own."""
        rng = random.Random(f"{self._seed} question {number}")
        frame = rng.choice(self._questions)
        gaps = rng.choice([words for words in passage.sentences if words] or [((_NAME, "it"),)])
        left = {kind: [word for of, word in gaps if of == kind] for kind in (_NAME, _TERM, _NUMBER)}
        words: list[str] = []
        for kind in frame.gaps:
            # A sentence may hold too few words of a kind; then others of it serve.
            some = left[kind] or left[_TERM] or left[_NAME]
            words.append(some.pop(0) if some else rng.choice(gaps)[1])
        return frame.pattern % tuple(words)

    def _written(self, number: int) -> Passage:
        rng = random.Random(f"{self._seed} file {number}")
        subjects = self._subjects(rng)
        paragraphs = [f"{subjects[_NAME][0]} and {subjects[_TERM][0]}"]
        sentences: list[tuple[tuple[str, str], ...]] = []
        words = 0
        while words < _FILE_WORDS:
            some = [self._sentence(rng, subjects) for _ in range(rng.randint(4, 7))]
            paragraphs.append(" ".join(text for text, _, _ in some))
            sentences += [gaps for _, _, gaps in some]
            words += sum(count for _, count, _ in some)
        return Passage("\n\n".join(paragraphs) + "\n", tuple(sentences))

    def _passage(self, rng: random.Random, subjects: dict[str, list[str]]) -> Passage:
        texts: list[str] = []
        sentences: list[tuple[tuple[str, str], ...]] = []
        words = 0
        while words < PASSAGE_WORDS - 10:
            text, count, gaps = self._sentence(rng, subjects)
            texts.append(text)
            sentences.append(gaps)
            words += count
        return Passage(" ".join(texts), tuple(sentences))

    def _subjects(self, rng: random.Random) -> dict[str, list[str]]:
        names = [self._pools[_NAME].draw_rare(rng) for _ in range(3)]
        return {
            _NAME: names + [self._pools[_NAME].draw(rng) for _ in range(3)],
            _TERM: [self._pools[_TERM].draw(rng) for _ in range(8)],
        }

    def _sentence(
        self, rng: random.Random, subjects: dict[str, list[str]]
    ) -> tuple[str, int, tuple[tuple[str, str], ...]]:
        frame = rng.choice(self._frames)
        gaps = tuple((kind, self._word(rng, kind, subjects)) for kind in frame.gaps)
        return frame.pattern % tuple(word for _, word in gaps), frame.words, gaps

    def _word(self, rng: random.Random, kind: str, subjects: dict[str, list[str]]) -> str:
        if kind == _NUMBER:
            return str(rng.randint(1400, 2020) if rng.random() < 0.5 else int(rng.paretovariate(0.5)) % 100_000)
        if rng.random() < 1 / 3:
            return rng.choice(subjects[kind])
        return self._pools[kind].draw(rng)

    @staticmethod
    def _frame(sentence: str, kept: set[str]) -> _Frame:
        gaps: list[str] = []

        def gap(match: re.Match[str]) -> str:
            word = match[0]
            if word.lower() in kept or len(word) == 1:
                return word
            gaps.append(_NUMBER if word.isdigit() else _NAME if word[0].isupper() else _TERM)
            return "%s"

        pattern = _TOKEN.sub(gap, sentence.replace("%", "%%"))
        return _Frame(pattern, tuple(gaps), len(sentence.split()))


def _samples() -> tuple[list[str], list[str]]:
    """The paragraphs and the questions of the samples."""
    articles = json.loads((SAMPLES / "questions.json").read_text(encoding="utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    contexts = dict.fromkeys(str(paragraph["context"]) for paragraph in paragraphs)
    return list(contexts), [str(entry["question"]) for paragraph in paragraphs for entry in paragraph["qas"]]
