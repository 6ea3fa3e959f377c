"""By when must the reader be done? Asked before each forward pass, which is never cut short itself."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from qa_app.errors import DeadlineError

# A context variable is each thread's own, so that one caller's deadline stops no other's reading.
_until: ContextVar[float] = ContextVar("_until", default=math.inf)


@contextmanager
def deadline(seconds_at: float) -> Iterator[None]:
    """Within the block, :func:`check` in this thread raises from ``seconds_at`` on, by ``time.monotonic``.

    A block within a block ends with the earlier of the two.
    """
    token = _until.set(min(seconds_at, _until.get()))
    try:
        yield
    finally:
        _until.reset(token)


def check() -> None:
    """Raises DeadlineError where this thread's deadline has passed."""
    if time.monotonic() >= _until.get():
        raise DeadlineError("the reader was not done in time and has stopped; ask again, or for fewer or shorter texts")
