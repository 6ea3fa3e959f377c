"""Progress of an ingestion, on standard error."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from qa_app.cli.output import console, say, shown

#: Seconds between two plain lines where there is no terminal.
_EVERY = 5.0


class Progress:
    """Counts files: a live line on a terminal, one plain line every few seconds elsewhere."""

    def __init__(self) -> None:
        self.done = 0
        self._last = time.monotonic()
        self._live = sys.stderr.isatty()
        self._status = console(error=True).status("starting") if self._live else None

    def __enter__(self) -> Progress:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()

    def advance(self, name: str) -> None:
        """One more file is done."""
        self.done += 1
        if self._status:
            self._status.update(f"{self.done} files, {shown(name)[:80]}")
        elif time.monotonic() - self._last > _EVERY:
            self._last = time.monotonic()
            say(f"{self.done} files so far")

    def say(self, message: str) -> None:
        """A line that stays, above the progress."""
        if self._status:
            self._status.console.print(shown(message))
        else:
            say(message)
