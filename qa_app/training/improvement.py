"""From people's judgements to a reader that takes the former's place if it is better, and only then."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qa_app.errors import InvalidRequestError
from qa_app.reading import calibration
from qa_app.reading.promoted import PromotedReaders
from qa_app.reading.resolution import resolve
from qa_app.training.loop import Progress, Recipe
from qa_app.training.question_answering import Options, train_question_answering

#: Judgements below which nothing can be learnt and measured.
FEWEST = 20
#: The share of the judgements that measure, where no held-out file is given, and the fewest: of four, one decides.
_HELD_OUT, _FEWEST_HELD_OUT = 0.2, 10
_FEEDBACK, _MEASURE = "feedback.json", "held-out.json"

Entry = dict[str, Any]
Scores = Mapping[str, float]


@dataclass(frozen=True)
class Round:
    """One round: the scores of both readers on the same ``held_out`` questions, by the official keys, in percent."""

    judgements: int
    held_out: int
    before: Scores
    after: Scores
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
    score: Callable[[str, Path], Scores],
    *,
    held_out: Path | None = None,
    data: Sequence[str] = (),
    recipe: Recipe | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_message: Callable[[str], None] = lambda message: None,
) -> Round:
    """Trains a candidate from the current reader on the ``feedback`` that none before it has learnt, and compares.

    ``feedback`` are entries of SQuAD's ``data``, one for each judgement; ``data`` more files to train on, so that the
    reader does not forget; ``score`` gives a reader's figures on a file. Without ``held_out`` some of the judged
    documents measure, and their judgements train nothing. The candidate is promoted where its F1 is higher, else it is
    removed. Raises InvalidRequestError where there is too little to learn from or to measure with.
    """
    known = readers.learnt(wanted)
    fresh = [entry for entry in feedback if _id(entry) not in known]
    if len(fresh) < FEWEST:
        raise InvalidRequestError(
            f"{len(fresh)} judgements are new since the last promoted reader, at least {FEWEST} are needed; "
            "judge more answers, on the page or by POST /feedback"
        )
    current = readers.current(wanted)
    former = resolve(current).folder
    candidate = readers.new_folder()
    candidate.mkdir(parents=True)
    try:
        learn = fresh
        if held_out is None:
            learn, measure = _divided(fresh)
            held_out = _written(candidate / _MEASURE, measure)
        on_message(f"{len(learn)} judgements to learn from; the reader was {former}")
        train_question_answering(
            Options(
                data=(str(_written(candidate / _FEEDBACK, learn)), *data),
                start=str(former),
                recipe=recipe or Recipe(epochs=3, learning_rate=3e-5),
            ),
            candidate,
            on_progress=on_progress,
            on_message=on_message,
        )
        if (former / calibration.NAME).exists():
            # Nearer to the truth than none, until somebody calibrates the new one.
            shutil.copy(former / calibration.NAME, candidate)
        before, after = score(current, held_out), score(str(candidate), held_out)
        better = after["f1"] > before["f1"]
        if better:
            readers.promote(wanted, candidate, [_id(entry) for entry in fresh])
    except BaseException:
        shutil.rmtree(candidate, ignore_errors=True)
        raise
    if not better:
        shutil.rmtree(candidate)
    return Round(len(fresh), int(before["total"]), before, after, better, str(candidate) if better else current)


def _id(entry: Entry) -> str:
    return str(entry["paragraphs"][0]["qas"][0]["id"])


def _divided(entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Entries to learn from and to measure with, of different documents."""
    documents: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        documents[entry["paragraphs"][0]["context"]].append(entry)
    names = sorted(documents)
    np.random.default_rng(1).shuffle(names)
    wanted, measuring, count = max(_FEWEST_HELD_OUT, _HELD_OUT * len(entries)), 0, 0
    while measuring < wanted:
        measuring += len(documents[names[count]])
        count += 1
    if count == len(documents):
        raise InvalidRequestError(
            f"the judgements are about {len(documents)} passages, too few to learn from some and measure with others; "
            "name a SQuAD file to measure with (--held-out), or judge answers from more documents"
        )
    return (
        [entry for name in names[count:] for entry in documents[name]],
        [entry for name in names[:count] for entry in documents[name]],
    )


def _written(path: Path, entries: Sequence[Entry]) -> Path:
    path.write_text(json.dumps({"version": "feedback", "data": list(entries)}), encoding="utf-8")
    return path
