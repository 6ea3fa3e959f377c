"""Progress of an ingestion, on standard error."""

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
    """Counts files: a bar on a terminal, one plain line every few seconds elsewhere.

    ``count`` says how many files there are; it is asked only where a bar is shown.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self.done = 0
        self._last = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            name = TextColumn("{task.description}", markup=False)
            self._bar = Bar(name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console(error=True))
            self._task = self._bar.add_task("starting", total=count())

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
        """One more file is done."""
        self.done += 1
        if self._bar:
            self._bar.update(self._task, advance=1, description=shown(name)[:_NAME].ljust(_NAME))
        elif time.monotonic() - self._last > _EVERY:
            self._last = time.monotonic()
            say(f"{self.done} files so far")

    def say(self, message: str) -> None:
        """A line that stays, above the progress."""
        if self._bar:
            self._bar.console.print(shown(message))
        else:
            say(message)
