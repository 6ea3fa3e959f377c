"""What keeps the page from showing something, in one plain sentence."""

from __future__ import annotations

from typing import Literal

Kind = Literal["down", "starting", "busy", "unauthorised", "slow", "nonsense", "refused", "gone"]

#: Problems that may be over in a moment, without anybody doing anything.
PASSING: frozenset[Kind] = frozenset(("down", "starting"))


class ProblemError(Exception):
    """A sentence for the visitor, and in ``kind`` what sort of trouble it is."""

    def __init__(self, kind: Kind, sentence: str) -> None:
        super().__init__(sentence)
        self.kind: Kind = kind
