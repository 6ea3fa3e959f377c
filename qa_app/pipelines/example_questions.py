"""Questions that the documents answer, made from sentences whose grammar leaves no doubt.

For a visitor's first look at unknown documents. Each is only a candidate until the reader has found the answer in the
very sentence. English alone: sentences of other languages fit none of the patterns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from haystack.schema import Document

from qa_app.splitting.sentences import sentence_spans
from qa_app.stores.passage_store import PassageStore

#: Files that are looked into, and candidates of each; what is read costs some twentieths of a second a candidate.
MAX_FILES, PER_FILE, MAX_CANDIDATES = 60, 2, 30

_NAME = r"[A-Z][\w'’-]*(?: (?:of|de|da|di|van|von|del|della|der) (?=[A-Z])| [A-Z][\w'’-]*\.?){0,4}"
_THING = rf"(?:[Tt]he )?{_NAME}"
_DONE = "invented|discovered|built|founded|designed|patented|published|opened|completed|launched|established|introduced"
_TIME = r"(?:in|on)(?: \d{1,2})?(?: [A-Z][a-z]+)? (?:1\d|20)\d\d\b"
#: Who did it: the thing must be named, and end where its name does.
_ACTIVE = re.compile(
    rf"(?:In [^,]{{2,30}}, )?(?P<who>{_NAME}) (?P<did>{_DONE}|wrote|painted|composed) (?P<what>{_THING})"
)
_ENDS = re.compile(r" (?:in|on|at|from|to|for|with|by|and|as)\b|[,.;:]|$")
_PASSIVE = re.compile(rf"(?P<what>{_THING}) (?P<was>was|were) (?P<done>born|{_DONE}) (?P<rest>.*)")
_BY = re.compile(rf"(?:\w+ ){{0,6}}?by (?P<who>{_NAME})")
_WHEN = re.compile(rf"(?:[\w'’-]+ ){{0,6}}?{_TIME}")
# A sentence that begins so speaks of what another sentence names.
_UNNAMED = frozenset(
    "He She It They We You I This That These Those There Here In On At By For From When While After Before As Its His "
    "Her Their Our My Your One Some Many Most Both Each Another Others However But And So Then Only Nobody".split()
)


@dataclass(frozen=True)
class Candidate:
    """A question, and the sentence of a passage that it was made of: ``passage.content[start:end]``."""

    query: str
    passage: Document
    start: int
    end: int


def candidates(store: PassageStore, index: str | None = None) -> list[Candidate]:
    """Questions from sentences of the first files, in the order of ids, two of a file at most."""
    found: dict[str, Candidate] = {}
    for file in islice(store.get_all_files(index), MAX_FILES):
        passages = store.get_file_passages(file.id, index)
        for candidate in islice(_of_passages(passages), PER_FILE):
            found.setdefault(candidate.query, candidate)
        if len(found) >= MAX_CANDIDATES:
            break
    return list(found.values())[:MAX_CANDIDATES]


def _of_passages(passages: Sequence[Document]) -> Iterator[Candidate]:
    seen = set()
    for passage in passages:
        for start, end in sentence_spans(passage.content, 0, len(passage.content)):
            query = question(" ".join(passage.content[start:end].split()))
            if query and query not in seen:
                seen.add(query)
                yield Candidate(query, passage, start, end)


def question(sentence: str) -> str | None:
    """What a sentence answers, or None where that is not plain."""
    if found := _ACTIVE.match(sentence):
        what = found["what"]
        if _named(found["who"]) and _ENDS.match(sentence, found.end("what")) and len(what.split()) > 1:
            return f"Who {found['did']} {_inside(what)}?"
    if found := _PASSIVE.match(sentence):
        what, was, done = _inside(found["what"]), found["was"], found["done"]
        if not _named(found["what"].removeprefix("The ")):
            return None
        if done != "born" and _BY.match(found["rest"]):
            return f"Who {done} {what}?"
        if _WHEN.match(found["rest"]):
            return f"When {was} {what} {done}?"
    return None


def _named(name: str) -> bool:
    return name.split()[0] not in _UNNAMED


def _inside(thing: str) -> str:
    """A name as it stands within a sentence."""
    return f"the {thing[4:]}" if thing.startswith("The ") else thing
