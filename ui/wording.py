"""From what documents say to what the page shows: nothing of it is ever HTML or Markdown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ui.records import Answer, Passage

#: A sentence longer than this is cut around its answer.
_LONGEST = 400
#: Less likely answers are not shown beside a better one.
_WORTH_SHOWING = 0.01
_BREAKS = re.compile(r"[.!?…。！？؟।]+[\"'”’»)\]]*\s+|\n\s*\n")
_WORDS = ((0.8, "Quite sure"), (0.5, "Likely"), (0.2, "Unsure"), (0.0, "A guess"))
# What changes the direction or hides characters would make a name look like another.
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+")

# Addresses become links whatever is escaped in them; a joiner that nobody sees keeps them from being addresses.
_ADDRESS = re.compile(r"(?<=://)|(?<=www)(?=\.)|(?<=@)", re.IGNORECASE)


def plain(text: str) -> str:
    """Text for where Streamlit takes Markdown, which shows it as it is."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", _ADDRESS.sub("\u2060", shown(text)))


def shown(text: str) -> str:
    """A name or message of a document on one line, without what makes it look like another."""
    return " ".join(_INVISIBLE.sub(" ", text).split())


def marked(text: str, start: int, end: int, mark: str = "") -> str:
    """HTML of a text with the code points from ``start`` to ``end`` marked; ``mark`` is the id of the mark."""
    name = f' id="{escape(mark)}"' if mark else ""
    return f"{escape(text[:start])}<mark{name}>{escape(text[start:end])}</mark>{escape(text[end:])}"


def sentence(text: str, start: int, end: int) -> tuple[int, int]:
    """From where to where the sentences of a text go that hold a span; cut to some hundred characters around it."""
    first, last = 0, len(text)
    for found in _BREAKS.finditer(text):
        if found.end() <= start:
            first = found.end()
        elif found.start() >= end - 1 and found.end() > end - 1:
            last = max(end, found.end())
            break
    while first < start and text[first].isspace():
        first += 1
    while last > end and text[last - 1].isspace():
        last -= 1
    if start - first > _LONGEST:
        first = _blank(text, start - _LONGEST, start)
    if last - end > _LONGEST:
        last = end + _LONGEST
        while last > end and not text[last - 1].isspace():
            last -= 1
    return first, last


def _blank(text: str, start: int, limit: int) -> int:
    found = re.compile(r"\s+").search(text, start, limit)
    return found.end() if found else start


def in_sentence(answer: Answer) -> str:
    """HTML of an answer marked in its sentence, with dots where the sentence was cut."""
    assert answer.passage is not None
    text = answer.passage.content
    first, last = sentence(text, answer.start, answer.end)
    before = "… " if first > 0 and not _BREAKS.search(text[max(0, first - 3) : first] + " ") else ""
    after = " …" if last < len(text) and not _BREAKS.search(text[last - 1 : last] + " ") else ""
    return f"{before}{marked(text[first:last], answer.start - first, answer.end - first)}{after}"


def sure(score: float) -> str:
    """A score in words and as a figure."""
    word = next(word for least, word in _WORDS if score >= least or least == 0.0)
    return f"{word} · {score:.0%}"


def source(passage: Passage, page: int | None = None) -> str:
    """Where a passage stands: its file, page, heading and date."""
    number = page or passage.page
    parts = [passage.name, f"page {number}" if number else "", f"“{passage.heading}”" if passage.heading else ""]
    return " · ".join(shown(part) for part in (*parts, passage.date) if part)


def quotation(answer: Answer) -> str:
    """An answer's sentence as a quotation with its source, to be copied."""
    assert answer.passage is not None
    first, last = sentence(answer.passage.content, answer.start, answer.end)
    words = " ".join(answer.passage.content[first:last].split())
    place = ""
    if answer.passage.start is not None:
        place = f", characters {answer.passage.start + answer.start}–{answer.passage.start + answer.end}"
    return f"“{words}”\n— {source(answer.passage, answer.page)}{place}"


@dataclass(frozen=True)
class Gathered:
    """Answers with the same words from several places, the best first."""

    places: tuple[Answer, ...]

    @property
    def best(self) -> Answer:
        return self.places[0]


def gather(answers: Sequence[Answer]) -> tuple[Gathered, ...]:
    """The answers that have words, equal ones together, the best first; those that are hardly likely only alone."""
    found: dict[str, list[Answer]] = {}
    for answer in answers:
        if answer.text:
            found.setdefault(_same(answer.text), []).append(answer)
    cards = [Gathered(tuple(places)) for places in found.values()]
    return (*cards[:1], *(card for card in cards[1:] if card.best.score >= _WORTH_SHOWING))


def _same(text: str) -> str:
    """What is left of a text where case, blanks, articles and marks at its ends are of no account."""
    words = unicodedata.normalize("NFKC", text).casefold().split()
    if len(words) > 1 and words[0] in ("the", "a", "an"):
        words = words[1:]
    return " ".join(words).strip("\"'“”‘’«».,;:!?()[]") or text


def size(count: int | None) -> str:
    """A number of bytes for people."""
    if count is None:
        return ""
    amount = float(count)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def day(time: str) -> str:
    """The day of a time as the API writes it."""
    return time[:10]
