"""From people's judgements to a reader that takes the former's place if it is better, and only then."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from qa_app.datasets.squad import Question, read_questions
from qa_app.errors import InvalidRequestError
from qa_app.reading import calibration
from qa_app.reading.promoted import PromotedReaders
from qa_app.reading.resolution import resolve
from qa_app.training.examples import stranger
from qa_app.training.loop import Progress, Recipe
from qa_app.training.question_answering import Options, train_question_answering

#: Judgements below which nothing can be learnt and measured.
FEWEST = 20
#: The share of the judgements that measure, where no held-out file is given, and the fewest: of four, one decides.
_HELD_OUT, _FEWEST_HELD_OUT = 0.2, 10
# Of candidates that are no better, one in ten is promoted by chance. It can be taken back, while one that is better and
# is refused costs what people judged, so this is less strict than the usual one in twenty.
_CHANCE = 0.1
_FEEDBACK, _MEASURE = "feedback.json", "held-out.json"

Entry = dict[str, Any]
Scores = Mapping[str, float]


@dataclass(frozen=True)
class Round:
    """One round: the scores of both readers on the same ``held_out`` questions, by the official keys, in percent.

    ``judgements`` are those that taught or measured; of the questions, ``better`` have a higher F1, ``worse`` a lower.
    """

    judgements: int
    held_out: int
    before: Scores
    after: Scores
    better: int
    worse: int
    promoted: bool
    reader: str

    @property
    def gain(self) -> float:
        """Points of F1 that the candidate is better."""
        return self.after["f1"] - self.before["f1"]


def improve(
    readers: PromotedReaders,
    wanted: str,
    feedback: Sequence[Entry],
    score: Callable[[str, Sequence[Question]], tuple[Scores, list[float]]],
    calibrations: Path,
    *,
    held_out: Path | None = None,
    data: Sequence[str] = (),
    recipe: Recipe | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_message: Callable[[str], None] = lambda message: None,
) -> Round:
    """Trains a candidate from the current reader on the ``feedback`` that none before it has learnt, and compares.

    ``feedback`` are entries of SQuAD's ``data``, one for each judgement, titled by their documents; ``data`` more files
    to train on, so that the reader does not forget; ``score`` gives a reader's figures and each question's F1, and
    ``calibrations`` is the folder of people's own. Without ``held_out`` the judgements of some documents measure. No
    document, context or question that measures trains. The candidate is promoted where its F1 is higher by more than
    chance, with the former's calibration but without its measured precisions, and else is removed. Raises,
    before anything is trained, InvalidRequestError where there is too little to learn from or to measure with, and what
    reading ``held_out`` raises.
    """
    questions = read_questions(held_out) if held_out else []
    known = readers.learnt(wanted)
    fresh = [entry for entry in feedback if _id(entry) not in known]
    if len(fresh) < FEWEST:
        since = " are new since the last promoted reader" if known else ""
        raise InvalidRequestError(
            f"{len(fresh)} judgements{since}, at least {FEWEST} are needed; "
            "judge more answers, on the page or by POST /feedback"
        )
    current = readers.current(wanted)
    former = resolve(current).folder
    with readers.candidate() as candidate:
        candidate.mkdir()
        used: list[Entry] = []
        if held_out is None:
            used = _measuring(fresh)
            held_out = _written(candidate / _MEASURE, used)
            questions = read_questions(held_out)
        is_strange = stranger(questions)
        learn = [entry for entry in fresh if is_strange(_document(entry), _context(entry), _asked(entry)["question"])]
        if not data and len({_context(entry) for entry in learn}) < 2:
            raise InvalidRequestError(
                "what is judged is of too few documents, or asked again and again, to learn from some and measure with "
                "others; name a SQuAD file of other questions (--held-out), or judge answers from more documents"
            )
        before, formerly = score(current, questions)
        on_message(f"{len(learn)} judgements to learn from; the reader was {former}")
        train_question_answering(
            Options(
                data=(*((str(_written(candidate / _FEEDBACK, _divisible(learn))),) if learn else ()), *data),
                start=str(former),
                apart=(str(held_out),),
                recipe=recipe or Recipe(epochs=3, learning_rate=3e-5),
            ),
            candidate,
            on_progress=on_progress,
            on_message=on_message,
        )
        # Nearer to the truth than none, but how often its answers are right was measured of the former alone.
        found = calibration.in_use(calibrations, former)
        replace(found, precisions=()).save(candidate / calibration.NAME)
        after, now = score(str(candidate), questions)
        gains = [one - other for one, other in zip(now, formerly)]
        better, worse = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
        promoted = after["f1"] > before["f1"] and _is_no_chance(better, worse)
        used += learn
        if promoted:
            readers.promote(wanted, candidate, [_id(entry) for entry in used])
    reader = str(candidate) if promoted else current
    return Round(len(used), len(questions), before, after, better, worse, promoted, reader)


def _is_no_chance(better: int, worse: int) -> bool:
    """A one-sided sign test: whether readers that are equally good would hardly ever differ so."""
    return better > 0 and binomtest(better, better + worse, alternative="greater").pvalue < _CHANCE


def _asked(entry: Entry) -> dict[str, Any]:
    return dict(entry["paragraphs"][0]["qas"][0])


def _context(entry: Entry) -> str:
    return str(entry["paragraphs"][0]["context"])


def _document(entry: Entry) -> str:
    return str(entry["title"])


def _id(entry: Entry) -> str:
    return str(_asked(entry)["id"])


def _measuring(entries: Sequence[Entry]) -> list[Entry]:
    """The entries of some documents, drawn until they are enough to measure with."""
    documents: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        documents[_document(entry)].append(entry)
    names = sorted(documents)
    np.random.default_rng(1).shuffle(names)
    wanted = max(_FEWEST_HELD_OUT, _HELD_OUT * len(entries))
    drawn: list[Entry] = []
    for name in names:
        if len(drawn) < wanted:
            drawn += documents[name]
    return drawn


def _divisible(entries: Sequence[Entry]) -> list[Entry]:
    """The entries as training can validate with some of them: by passage, where all are of one document."""
    if len({_document(entry) for entry in entries}) > 1:
        return list(entries)
    return [{"paragraphs": entry["paragraphs"]} for entry in entries]


def _written(path: Path, entries: Sequence[Entry]) -> Path:
    path.write_text(json.dumps({"version": "feedback", "data": list(entries)}), encoding="utf-8")
    return path
