"""What commands that measure say of the reader, and of an earlier run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from qa_app.cli.output import say

if TYPE_CHECKING:
    from qa_app.evaluation.comparison import EarlierRun
    from qa_app.settings import Settings

#: The exit code where a figure is worse than in the earlier run: neither a bug nor a wrong option nor a failure.
WORSE = 6


def tell_promoted(settings: Settings, chosen: str | None) -> None:
    """Names the reader that is measured where it is not the one that the settings name."""
    from qa_app import bootstrap

    standing = bootstrap.promoted_readers(settings).current(settings.reader_model)
    if not chosen and standing != settings.reader_model:
        say(
            f"the reader is {standing}, which was promoted in place of {settings.reader_model}; "
            f"--model {settings.reader_model} takes that one itself"
        )


def earlier_run(path: Path | None) -> EarlierRun | None:
    """The earlier run; read first, so that a wrong file costs no long run."""
    from qa_app.evaluation.comparison import read_earlier

    return read_earlier(path) if path else None


def fail_if_worse(figures: Mapping[str, float], earlier: EarlierRun | None, tolerance: float) -> None:
    """Says which figures are worse than in the earlier run, and ends with :data:`WORSE` where some are."""
    from qa_app.evaluation.comparison import losses

    if earlier is None:
        return
    lost = losses(earlier.metrics, figures, tolerance)
    for line in lost:
        say(line)
    if lost:
        raise typer.Exit(WORSE)
    say("no figure is worse than in the earlier run")
