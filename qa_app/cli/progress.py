"""Progress of what takes long, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType

from qa_app.cli.output import console, say, shown

#: Seconds between two plain lines where there is no terminal.
_EVERY = 5.0
_NAME = 40


class Progress:
    """Counts files, or other ``things``: a bar on a terminal, one plain line every few seconds elsewhere.

    ``count`` says how many there are. A function is asked only where a bar is shown; with a number, plain lines tell
    the time left, too.
    """

    def __init__(self, count: Callable[[], int] | int, things: str = "files") -> None:
        self.done = 0
        self._things = things
        self._total = None if callable(count) else count
        self._began = self._last = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            name = TextColumn("{task.description}", markup=False)
            self._bar = Bar(name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console(error=True))
            self._task = self._bar.add_task("starting", total=count() if callable(count) else count)

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, name: str) -> None:
        """One more is done."""
        self.done += 1
        if self._bar:
            self._bar.update(self._task, advance=1, description=shown(name)[:_NAME].ljust(_NAME))
        elif time.monotonic() - self._last > _EVERY:
            self._last = time.monotonic()
            say(f"{self.done} {self._things} so far{self._left()}")

    def _left(self) -> str:
        if self._total is None:
            return ""
        seconds = (self._last - self._began) / self.done * (self._total - self.done)
        left = f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"
        return f" of {self._total}, about {left} left"

    def say(self, message: str) -> None:
        """A line that stays, above the progress."""
        if self._bar:
            self._bar.console.print(shown(message))
        else:
            say(message)
