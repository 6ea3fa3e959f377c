"""Questions that the documents answer: gold labels, and those made from sentences of plain grammar.

For a visitor's first look at unknown documents. A made question is only a candidate until the reader has found its
answer in the very sentence. English alone: sentences of other languages fit none of the patterns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from haystack.schema import Document, Label

from qa_app.splitting.sentences import sentence_spans
from qa_app.stores.passage_store import PassageStore

#: Files that are looked into, passages and candidates of each; reading a candidate costs some twentieths of a second.
MAX_FILES, MAX_PASSAGES, PER_FILE, MAX_CANDIDATES = 60, 40, 3, 20
#: Judgements that are looked at, and the longest question of one that is shown.
_JUDGED, _LONGEST = 200, 150
#: Characters of a sentence beyond which it is a table or a list, or was made to take long.
_LONG = 500
_RIGHT = {
    "is_correct_answer": True,
    "is_correct_document": True,
    # What people asked and judged is not for everybody who may ask; gold labels were made to be shown.
    "origin": "gold-label",
}

_NAME = r"[A-Z][\w'’-]*(?: (?:of|de|da|di|van|von|del|della|der) (?=[A-Z])| [A-Z][\w'’-]*){0,4}"
_THING = rf"(?:[Tt]he )?{_NAME}"
_KIND = r"[a-z][a-z-]+(?: [a-z][a-z-]+){0,2}"
#: As they follow "was", and as they follow "did".
_VERBS = {
    **{"invented": "invent", "discovered": "discover", "built": "build", "founded": "found", "designed": "design"},
    **{"patented": "patent", "published": "publish", "opened": "open", "completed": "complete", "launched": "launch"},
    **{"established": "establish", "introduced": "introduce", "wrote": "write", "painted": "paint"},
    **{"composed": "compose", "begun": "begin", "started": "start", "created": "create"},
}
_DONE = "|".join(verb for verb in _VERBS if verb != "wrote")
_DID = "|".join(verb for verb in _VERBS if verb != "begun")
_TIME = r"(?:in|on)(?: \d{1,2})?(?: [A-Z][a-z]+)? (?:1\d|20)\d\d\b"
_ACTIVE = re.compile(rf"(?:In [^,]{{2,30}}, )?(?P<who>{_NAME}) (?P<did>{_DID}) (?P<what>{_THING})(?P<rest>.*)")
#: Where a name surely ends.
_ENDS = re.compile(r" (?:in|on|at|from|to|for|with|by|and|as)\b|[,.;:]|$")
_PASSIVE = re.compile(rf"(?P<what>{_THING}) was (?:first )?(?P<done>born|{_DONE}) (?P<rest>.*)")
#: What is invented is a kind of thing, where what is built or discovered may be one that was just named.
_INVENTED = re.compile(rf"The (?P<what>{_KIND}) was (?:first )?(?P<done>invented|patented) (?P<rest>.*)")
_BY = re.compile(rf"(?:\w+ ){{0,6}}?by (?:(?!{_TIME})[\w'’-]+ ){{0,3}}?{_NAME}")
_WHEN = re.compile(rf"(?:[\w'’-]+ ){{0,6}}?{_TIME}")
_BORN_IN = re.compile(r"in [A-Z]")
_DIED = re.compile(rf"(?P<who>{_NAME}) died (?:of [a-z]+ )?{_TIME}")
_PLACED = re.compile(
    rf"(?P<what>{_THING}) (?:lies|stands|is situated|is located) (?:(?:in|on|near|between) |at (?!about|some|\d))"
)
_HAVING = re.compile(
    rf"(?P<whose>An? {_KIND}) has (?:(?:about|around|roughly|some|nearly|over|more than|up to) )?"
    r"(?:\d[\d,.]*(?: million| billion)?|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve) "
    r"(?P<parts>(?:[a-z]+ ){0,2}[a-z]{2,}s)(?=[,.;:]| of which| that | which )"
)
_DEFINED = re.compile(
    rf"(?:(?P<one>An? {_KIND})|(?P<what>{_THING})) (?P<was>is|was) an? (?P<as>(?:[\w'’-]+,? ){{1,5}}?)"
    r"(?:that|which|who|whose|where|of|from|in|for|with|used|made|to|on|by)\b"
)
_PEOPLE = frozenset(
    "actor actress admiral architect artist astronaut astronomer author bishop botanist builder carpenter chemist "
    "clockmaker composer conductor dancer designer doctor economist emperor engineer explorer farmer general geologist "
    "geographer historian inventor journalist judge king lawyer logician mathematician merchant midwife monk "
    "musician naturalist navigator novelist nun nurse officer organist painter philosopher photographer physician "
    "physicist pianist pilot playwright poet policeman politician pope priest prince princess professor programmer "
    "psychologist queen sailor scholar scientist sculptor singer soldier statesman surgeon surveyor teacher theologian "
    "violinist watchmaker writer zoologist".split()
)
_OF_PEOPLE = re.compile(r"\b(?:[Hh]e|[Ss]he|[Hh]is|[Hh]er|[Hh]im|[Hh]imself|[Hh]erself|born)\b")
# A sentence that begins so speaks of what another sentence names, or not of a name at all.
_UNNAMED = frozenset(
    "A An He She It They We You I This That These Those There Here In On At By For From When While After Before "
    "As Its His Her Their Our My Your One Some Many Most Both Each Another Others Other However But And So Then "
    "Only Nobody If Since Though Although Because Once Until What Who Why How Where Such All No Not Every Either "
    "Neither Nor Or With Under Over During Between Among Two Three Four Five Early Later Late Now Today Nothing "
    "Everything Someone Unlike Like Much More Few Several Any First Second Third Finally Also Thus Hence "
    "Meanwhile Perhaps Part Sir Dr Mr Mrs Professor Captain King Queen President".split()
)
# Of these one must know which is meant.
_VAGUE = frozenset(
    "advantage aim answer approach aspect case cause change company concept device difference disadvantage event "
    "example fact factor feature goal group idea instrument issue item machine matter method name number part "
    "place plan point problem process product project purpose question reason result rule solution step system "
    "team technique term theory thing time tool use version way word work year".split()
)
# These do not say what a thing is.
_EMPTY = frozenset(
    "bit case center centre choice consequence destination example feature hub icon key location lot major matter "
    "means member mistake number part piece place problem question reason result role sign source success symbol "
    "time topic way".split()
)
# How names of trades and ranks end that are not in our list; some things end so too, and are passed over.
_LIKE_PEOPLE = ("er", "or", "ist", "ian", "ent", "ant", "man", "ess", "ic", "ive", "ar", "eer", "ee", "ow", "ard")


@dataclass(frozen=True)
class Judged:
    """A gold label's question, its answer, and the passage that has it."""

    query: str
    answer: str
    passage: Document


@dataclass(frozen=True)
class Candidate:
    """A question, and the sentence of a passage that it was made of: ``passage.content[start:end]``."""

    query: str
    passage: Document
    start: int
    end: int


def judged_right(store: PassageStore, index: str | None = None) -> list[Judged]:
    """Questions of gold labels, the newest first, where the passage is still in the index."""
    labels = sorted(store.get_all_labels(filters=_RIGHT), key=lambda label: str(label.created_at), reverse=True)
    newest: dict[str, tuple[str, Label]] = {}
    for label in labels:
        query = " ".join(label.query.split())
        if label.answer and label.answer.answer.strip() and len(query) <= _LONGEST and query.isprintable():
            newest.setdefault(query.casefold(), (query, label))
    some = list(newest.values())[:_JUDGED]
    found = store.get_documents_by_id([label.document.id for _, label in some], index=index) if some else []
    passages = {passage.id: passage for passage in found if passage.meta.get("file_id")}
    return [
        Judged(query, label.answer.answer, passages[label.document.id])
        for query, label in some
        if label.document.id in passages
    ]


def candidates(store: PassageStore, index: str | None = None) -> list[Candidate]:
    """Questions from the beginnings of the first files, in the order of ids: one of each file, then others of each."""
    by_file = []
    for file in islice(store.get_all_files(index), MAX_FILES):
        # Of a long book, the beginning alone: it is not worth the memory.
        scan = store.get_all_documents_generator(index=index, filters={"file_id": file.id}, batch_size=MAX_PASSAGES)
        passages = sorted(islice(scan, MAX_PASSAGES), key=lambda passage: int(passage.meta.get("start", 0)))
        by_file.append(list(islice(_of_passages(passages), PER_FILE)))
        if sum(map(bool, by_file)) == MAX_CANDIDATES:
            break
    found: dict[str, Candidate] = {}
    for turn in range(PER_FILE):
        for made in by_file:
            if turn < len(made):
                found.setdefault(made[turn].query, made[turn])
    return list(found.values())[:MAX_CANDIDATES]


def _of_passages(passages: Sequence[Document]) -> Iterator[Candidate]:
    seen = set()
    for passage in passages:
        for start, end in sentence_spans(passage.content, 0, len(passage.content)):
            if end - start > _LONG:
                continue
            query = question(" ".join(passage.content[start:end].split()), passage.content)
            if query and query not in seen:
                seen.add(query)
                yield Candidate(query, passage, start, end)


def question(sentence: str, around: str = "") -> str | None:
    """What a sentence answers, or None where that is not plain; ``around`` is the text that it stands in."""
    return (
        _of_deed(sentence) or _of_passive(sentence) or _of_measure(sentence, around) or _of_definition(sentence, around)
    )


def _of_deed(sentence: str) -> str | None:
    """Of "NAME founded NAME", "NAME died in 1859"."""
    if (found := _ACTIVE.match(sentence)) and _named(found["who"]):
        what = found["what"]
        if _ENDS.match(sentence, found.end("what")) and len(what.split()) > 1:
            if re.match(rf" {_TIME}", found["rest"]):
                return f"When did {_inside(found['who'])} {_VERBS[found['did']]} {_inside(what)}?"
            return f"Who {found['did']} {_inside(what)}?"
    if (found := _DIED.match(sentence)) and _named(found["who"]) and " " in found["who"]:
        return f"When did {found['who']} die?"
    return None


def _of_passive(sentence: str) -> str | None:
    """Of "NAME was built by NAME", "NAME was born in 1815", "The piano was invented by NAME"."""
    if found := _INVENTED.match(sentence):
        what = f"the {found['what']}"
    elif (found := _PASSIVE.match(sentence)) and _named(found["what"].removeprefix("The ")):
        what = _inside(found["what"])
    else:
        return None
    done, rest = found["done"], found["rest"]
    if done == "born":
        if " " not in what:
            return None
        if _WHEN.match(rest):
            return f"When was {what} born?"
        return f"Where was {what} born?" if _BORN_IN.match(rest) else None
    if _BY.match(rest):
        return f"Who {'began' if done == 'begun' else done} {what}?"
    return f"When was {what} {done}?" if _WHEN.match(rest) else None


def _of_measure(sentence: str, around: str) -> str | None:
    """Of "A piano has 88 keys", "NAME lies in southern Siberia"."""
    if (found := _HAVING.match(sentence)) and not _VAGUE.intersection(found["whose"].split()):
        return f"How many {found['parts']} does {_lowered(found['whose'])} have?"
    if (found := _PLACED.match(sentence)) and _named(found["what"].removeprefix("The ")):
        what = found["what"]
        return f"Where is {_inside(what)}?" if " " in what or _written(what, around) == what else None
    return None


def _of_definition(sentence: str, around: str) -> str | None:
    """Of "A prime is a number that", "NAME is a cheese made", "NAME was a physician in"."""
    found = _DEFINED.match(sentence)
    if not found:
        return None
    was, kind = found["was"], found["as"].split()[-1]
    if one := found["one"]:
        return f"What is {_lowered(one)}?" if was == "is" and not _VAGUE.intersection(one.split()) else None
    what = found["what"]
    if not _named(what.removeprefix("The ")) or kind in _EMPTY:
        return None
    if what.startswith("The "):
        return f"What {was} {_inside(what)}?"
    if kind in _PEOPLE:
        return f"Who {was} {what}?" if " " in what else None
    written = what if " " in what else _written(what, around)
    if written != what.lower() and (kind.endswith(_LIKE_PEOPLE) or _OF_PEOPLE.search(around or sentence)):
        return None
    return f"What {was} {written}?" if written else None


def _written(word: str, around: str) -> str | None:
    """The first word of a sentence as it is written within one, by its other places; None where it has none."""
    for written in (word.lower(), word):
        if re.search(rf"[a-z,] {re.escape(written)}(?![\w'’-])", around):
            return written
    return None


def _lowered(phrase: str) -> str:
    return phrase[0].lower() + phrase[1:]


def _named(name: str) -> bool:
    return name.split()[0] not in _UNNAMED


def _inside(thing: str) -> str:
    """A name as it stands within a sentence."""
    return f"the {thing[4:]}" if thing.startswith("The ") else thing
