"""Words that are used as often as words of a language are: few everywhere, most almost nowhere."""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Sequence

_ONSETS = "b br c ch d dr f fl g gl gr h j k l m n p pl pr r s sh sk st t th tr v w".split()
_VOWELS = "a e i o u a e i o ea ai ou".split()
_CODAS = " l m n r s t nd rk st ll x ck".split(" ")
_ENDINGS = " er ing ed s ion ant ic ure al en".split(" ")
#: The higher, the less the first words stand out; with it the first is in every ninth passage.
_FLATNESS = 50


def made_up_words(count: int, rng: random.Random) -> list[str]:
    """``count`` distinct pronounceable words of two to four syllables, in lower case."""
    words: dict[str, None] = {}
    while len(words) < count:
        syllables = rng.choices((1, 2, 3), (5, 5, 1))[0]
        stem = "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(syllables))
        words[stem + rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) + rng.choice(_ENDINGS)] = None
    return list(words)


class Pool:
    """Words drawn by the law of Zipf and Mandelbrot: the chance of the word of rank r is as 1 / (r + constant)."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._bounds = list(itertools.accumulate(1 / (rank + _FLATNESS) for rank in range(1, len(words) + 1)))

    def draw(self, rng: random.Random) -> str:
        """A word, often one of the first."""
        return self._words[bisect.bisect_left(self._bounds, rng.random() * self._bounds[-1])]

    def draw_rare(self, rng: random.Random) -> str:
        """A word of the rarer half."""
        return self._words[rng.randrange(len(self._words) // 2, len(self._words))]
