"""From scores to confidence: one scale for answers and for "no answer", over all passages of a question."""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qa_app.errors import ModelError
from qa_app.reading.model_files import fingerprint

#: The file in a model's folder that holds its calibration.
NAME = "calibration.json"


@dataclass(frozen=True)
class Candidate:
    """A span that may be the answer.

    ``margin`` is by how much its score exceeds that of "no answer" in the same passage; ``lead`` is its passage's.
    """

    text: str
    margin: float
    lead: float


@dataclass(frozen=True)
class Pool:
    """What competes for a question: the candidates of all passages read, and the passages' leads.

    A lead is how far the retriever's score of the passage, as log-odds, is behind the best of them: 0 or less.
    """

    candidates: list[Candidate]
    leads: list[float]


@dataclass(frozen=True)
class Calibration:
    """How confidence is made of scores, as fitted on held-out questions.

    Every candidate has the weight exp(margin / temperature + retriever * lead), and every passage two more:
    exp(nothing + retriever * lead) for "it is not here", and the same with ``other`` for "it is, in other words", which
    also has ``doubt`` times the weight of all candidates: a reader errs where it is surest, too. The confidence of a
    text is the share of all candidates that say it, and that of "no answer" the share of ``nothing``; with the share of
    "in other words" they make one. ``precisions`` are pairs of a confidence and the share of right answers among the
    held-out ones that were at least so sure, both from 0 to 1 and rising; none where nothing was measured.
    """

    temperature: float
    nothing: float
    other: float
    retriever: float
    doubt: float = 0.0
    precisions: tuple[tuple[float, float], ...] = ()

    def confidences(self, pool: Pool) -> tuple[list[float], float]:
        """The confidence of each candidate of ``pool``, and of "no answer", each from 0 to 1."""
        if not pool.candidates:
            return [], 1.0
        margins, leads = zip(*((one.margin, one.lead) for one in pool.candidates))
        *shares, nothing, _ = self.shares(np.array(margins), np.array(leads), np.array(pool.leads)).tolist()
        said: dict[str, float] = {}
        for one, share in zip(pool.candidates, shares):
            said[_same(one.text)] = said.get(_same(one.text), 0.0) + share
        return [min(said[_same(one.text)], 1.0) for one in pool.candidates], nothing

    def shares(
        self, margins: NDArray[np.float64], leads: NDArray[np.float64], passages: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The shares of all candidates, of "it is not here" and of "in other words", along the last axis.

        ``margins`` and ``leads`` are the candidates', ``passages`` the leads of all passages; where they are padded,
        margins and passages are -inf.
        """
        retrieved = np.exp(self.retriever * passages).sum(axis=-1, keepdims=True)
        weights = np.concatenate(
            [
                margins / self.temperature + self.retriever * leads,
                self.nothing + np.log(retrieved),
                self.other + np.log(retrieved),
            ],
            axis=-1,
        )
        powers = np.exp(weights - weights.max(axis=-1, keepdims=True))
        powers[..., -1] += self.doubt * powers[..., :-2].sum(axis=-1)
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))

    def threshold(self, precision: float) -> float:
        """The confidence from which on at least ``precision`` of the held-out answers were right.

        Infinity where no confidence was high enough. Raises ModelError where nothing was measured.
        """
        if not self.precisions:
            raise ModelError(
                "the reader was not calibrated, so how often its answers are right is not known; "
                "run 'qa-app calibrate' with questions whose answers are known"
            )
        number = bisect_left([share for _, share in self.precisions], precision)
        return self.precisions[number][0] if number < len(self.precisions) else math.inf

    def save(self, path: Path) -> None:
        """Writes a file that :func:`load` reads."""
        path.write_text(json.dumps(asdict(self)) + "\n", encoding="ascii")


#: For readers that nobody calibrated: that of the bundled one, without its measured precisions.
USUAL = Calibration(temperature=3.1, nothing=0.8, other=-0.2, retriever=2.2, doubt=0.23)


def in_use(calibrations: Path, folder: Path) -> Calibration:
    """The model's in ``folder``: of the folder ``calibrations``, else its own, else the usual; raises ModelError."""
    return load(calibrations / f"{fingerprint(folder)}.json") or load(folder / NAME) or USUAL


def load(path: Path) -> Calibration | None:
    """The calibration in ``path``, None where there is no such file. Raises ModelError for one that is damaged."""
    try:
        fields = json.loads(path.read_text(encoding="ascii"))
        precisions = tuple((float(confidence), float(share)) for confidence, share in fields.pop("precisions"))
        return Calibration(**{name: float(value) for name, value in fields.items()}, precisions=precisions)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{path} is no calibration ({error}); remove it, or run 'qa-app calibrate' again") from error


def _same(text: str) -> str:
    """What texts have in common that say the same."""
    return " ".join(text.lower().split())
