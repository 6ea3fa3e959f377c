"""From scores to confidence: one scale for answers and for "no answer", over all passages of a question."""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qa_app.errors import ModelError

#: The file in a model's folder that holds its calibration.
NAME = "calibration.json"


@dataclass(frozen=True)
class Candidate:
    """A span that may be the answer.

    ``margin`` is by how much its score exceeds that of "no answer" in the same passage; ``lead`` is how far the
    retriever's score of the passage, as log-odds, is behind the best of the question's passages: 0 or less.
    """

    text: str
    margin: float
    lead: float


@dataclass(frozen=True)
class Calibration:
    """How confidence is made of scores, as fitted on held-out questions.

    Every candidate has the weight exp(margin / temperature + retriever * lead), "it is not in these passages" has
    exp(nothing), and "it is, in other words" exp(other). The confidence of a text is the share of all candidates that
    say it, and that of "no answer" the share of ``nothing``; with the share of ``other`` they make one. ``precisions``
    are pairs of a confidence and the share of the held-out questions that were answered at least so
    surely whose answer was right, both from 0 to 1 and rising; none where nothing was measured.
    """

    temperature: float
    nothing: float
    other: float
    retriever: float
    precisions: tuple[tuple[float, float], ...] = ()

    def confidences(self, candidates: Sequence[Candidate]) -> tuple[list[float], float]:
        """The confidence of each of ``candidates``, and of "no answer", each from 0 to 1."""
        if not candidates:
            return [], 1.0
        *shares, nothing, _ = self.shares(
            np.array([one.margin for one in candidates]), np.array([one.lead for one in candidates])
        ).tolist()
        said: dict[str, float] = {}
        for one, share in zip(candidates, shares):
            said[_same(one.text)] = said.get(_same(one.text), 0.0) + share
        return [min(said[_same(one.text)], 1.0) for one in candidates], nothing

    def shares(self, margins: NDArray[np.float64], leads: NDArray[np.float64]) -> NDArray[np.float64]:
        """The shares of all candidates, of ``nothing`` and of ``other``, along the last axis."""
        weights = margins / self.temperature + self.retriever * leads
        ends = np.broadcast_to((self.nothing, self.other), (*weights.shape[:-1], 2))
        weights = np.concatenate([weights, ends], axis=-1)
        powers = np.exp(weights - weights.max(axis=-1, keepdims=True))
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
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="ascii")


#: For readers that nobody calibrated: that of the bundled one, without its measured precisions.
USUAL = Calibration(temperature=3.0, nothing=2.2, other=1.8, retriever=2.5)


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
