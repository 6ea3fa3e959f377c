"""``qa-app improve``: a better reader from people's judgements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from qa_app.cli.evaluate import ModelOption, counted
from qa_app.cli.ingest import IndexOption, JsonOption
from qa_app.cli.output import print_json, quiet_libraries, say
from qa_app.cli.train import TrainingProgress


def improve(
    held_out: Annotated[
        Path | None,
        typer.Option("--held-out", metavar="FILE", help="SQuAD file to compare with.  [some of the judged documents]"),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="FILE", help="SQuAD file to train on beside; repeatable.", show_default=False),
    ] = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Give the former reader its place back.")] = False,
    model: ModelOption = None,
    index: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a candidate on people's judgements; it takes the reader's place only where it surely answers better.

    Both answer the same held-out questions; no document, passage or question of these trains. Judgements count once:
    those that made a reader better are learnt.
    """
    quiet_libraries()
    from qa_app import bootstrap
    from qa_app import settings as settings_room

    settings = settings_room.load({"reader_model": model, "index": index, "reader_min_precision": 0.0})
    readers = bootstrap.promoted_readers(settings)
    if rollback:
        now = readers.rollback(settings.reader_model)
        print_json({"reader": now}) if as_json else typer.echo(f"the reader is {now} again")
        return

    from qa_app.datasets.squad import Question
    from qa_app.evaluation.reading import read
    from qa_app.evaluation.squad import best_over_golds, evaluate, token_f1
    from qa_app.pipelines.feedback import export
    from qa_app.training.improvement import improve as improve_reader

    def score(model: str, questions: Sequence[Question]) -> tuple[dict[str, float], list[float]]:
        readings = counted(read(bootstrap.open_reader_of(settings, model), questions), questions)
        given = {reading.id: reading.prediction for reading in readings}
        return evaluate(questions, given), [best_over_golds(token_f1, one, given[one.id]) for one in questions]

    with bootstrap.open_store(settings) as store:
        feedback = export(store, index=store.label_index).squad["data"]
    with TrainingProgress() as progress:
        made = improve_reader(
            readers,
            settings.reader_model,
            feedback,
            score,
            settings.calibrations_path,
            held_out=held_out,
            data=tuple(data or ()),
            on_progress=progress.show,
            on_message=progress.say,
        )
    if as_json:
        print_json({**asdict(made), "gain": made.gain})
        return
    typer.echo(
        f"better on {made.better}, worse on {made.worse} of {made.held_out} held-out questions; F1 "
        f"{made.before['f1']:.2f} before, {made.after['f1']:.2f} after {made.judgements} judgements ({made.gain:+.2f})"
    )
    if made.promoted:
        typer.echo(f"the reader is now {made.reader}; 'qa-app improve --rollback' takes it back")
        say("how often its answers are right is not known yet; 'qa-app calibrate FILE' measures it for --min-precision")
        say("a server that runs goes on with the former until it is started again")
    else:
        typer.echo("that may be chance, so the reader stays as it is")
