"""``qa-app calibrate``: makes confidence say how often answers are right."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from qa_app.cli.comparing import tell_promoted
from qa_app.cli.evaluate import ModelOption, check_writable, counted
from qa_app.cli.ingest import JsonOption
from qa_app.cli.output import console, print_json, quiet_libraries, say


def calibrate(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="SQuAD 1.1 or 2.0 JSON, may be gzipped.", show_default=False),
    ],
    model: ModelOption = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Ask only so many questions, drawn at random.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", help="Write the calibration here, and leave the one in use alone.", show_default=False
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fit the reader's confidence to questions whose answers are known, and that it was not trained on.

    Each is asked of an index of all contexts; a third of them without their own passages, as folders do not hold every
    answer. The calibration is kept in the data folder for this reader alone, and holds from then on.
    """
    quiet_libraries()
    from qa_app import bootstrap
    from qa_app import settings as settings_room
    from qa_app.datasets.squad import read_questions
    from qa_app.evaluation.calibrating import check_enough, drawn, fit, gather

    check_writable(output)
    settings = settings_room.load({"reader_model": model, "reader_min_precision": 0.0})
    questions = [question for file in files for question in read_questions(file, places=True)]
    asked = drawn(questions, limit)
    check_enough(question.context for question in asked)
    tell_promoted(settings, model)
    with bootstrap.open_pipeline_evaluation(settings, chosen=model) as evaluation:
        evaluation.index(questions)
        found = fit([one for one in counted(gather(evaluation, asked), asked) if one])
    path = output or evaluation.reader.calibration_path
    path.parent.mkdir(parents=True, exist_ok=True)
    found.calibration.save(path)
    say(f"the calibration is in {path}")
    if as_json:
        print_json(asdict(found))
        return
    out = console()
    out.print(f"{found.questions} questions; on contexts that were not fitted to:")
    out.print(f"  expected calibration error {found.error:.1f} %")
    out.print(f"  {found.answered:.0%} were answered, and {found.right:.0%} of the answers were right")
    if not found.calibration.precisions:
        out.print("  too few were answered to tell from which confidence on they are right so often")
        return
    for precision in (0.7, 0.8, 0.9, 0.95):
        threshold = found.calibration.threshold(precision)
        share = "no answers" if threshold > 1 else f"answers of {threshold:.0%} and more"
        out.print(f"  {precision:.0%} right: {share}")
