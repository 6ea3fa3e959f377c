"""``qa-app evaluate``: how good the reader, anybody's predictions, or the whole pipeline are."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from qa_app.cli.comparing import earlier_run, fail_if_worse, tell_promoted
from qa_app.cli.ingest import JsonOption
from qa_app.cli.output import console, print_json, quiet_libraries, say, shown
from qa_app.errors import SettingsError

if TYPE_CHECKING:
    from qa_app.datasets.squad import Question
    from qa_app.evaluation.comparison import EarlierRun
    from qa_app.evaluation.outcomes import Miss
    from qa_app.evaluation.pipeline import PipelineEvaluation
    from qa_app.settings import Settings

#: Misses that are printed for a person.
_PRINTED = 10
_NAMED = 3
#: Questions below which the calibration error is chance.
_FEW = 100
T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Say how good answers are, with questions whose answers are known.",
)

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="SQuAD 1.1 or 2.0 JSON, may be gzipped.", show_default=False)
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="Reader: a name on the hub, a folder, or bundled.", show_default=False)
]
EngineOption = Annotated[str | None, typer.Option("--engine", help="What runs the reader.", show_default=False)]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Ask only so many questions, the first.", show_default=False)
]
CompareOption = Annotated[
    Path | None,
    typer.Option("--compare", help="An earlier run's --json; a figure worse than there ends with exit code 6."),
]
ToleranceOption = Annotated[
    float, typer.Option("--tolerance", min=0.0, help="Points that a figure may be worse than before.")
]


@app.command("reader")
def reader(
    file: FileArgument,
    model: ModelOption = None,
    engine: EngineOption = None,
    window: Annotated[int, typer.Option("--window", help="Tokens read at once; model cards use 384.")] = 256,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions", help="Write the predictions to this file, their no-answer scores beside it.", metavar="OUT"
        ),
    ] = None,
    limit: LimitOption = None,
    compare: CompareOption = None,
    tolerance: ToleranceOption = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Have the reader answer each question from its own paragraph; prints the official SQuAD 2.0 figures."""
    quiet_libraries()
    from qa_app import bootstrap
    from qa_app import settings as settings_room
    from qa_app.datasets.squad import read_questions
    from qa_app.evaluation.comparison import check_comparable

    settings = settings_room.load({"reader_model": model, "reader_engine": engine, "reader_min_precision": 0.0})
    earlier = earlier_run(compare)
    check_writable(predictions)
    scores = predictions and predictions.with_name(f"{predictions.stem}.no-answer.json")
    check_writable(scores)
    questions = read_questions(file)[:limit]
    if earlier:
        check_comparable(earlier, questions)
    tell_promoted(settings, model)
    opened = bootstrap.open_reader(settings, window, chosen=model)

    from qa_app.evaluation.reading import read
    from qa_app.evaluation.squad import evaluate

    readings = list(counted(read(opened, questions), questions))
    given = {reading.id: reading.prediction for reading in readings}
    no_answer = {reading.id: reading.no_answer for reading in readings}
    if predictions and scores:
        _write(predictions, json.dumps(given, ensure_ascii=False) + "\n")
        _write(scores, json.dumps(no_answer) + "\n")
        say(f"predictions are in {predictions}, their no-answer scores in {scores}")
    _finish(evaluate(questions, given, no_answer), earlier, tolerance, as_json=as_json)


@app.command("predictions")
def predictions(
    file: FileArgument,
    given: Annotated[
        Path, typer.Argument(metavar="PREDS", help="JSON: ids of questions with answers.", show_default=False)
    ],
    no_answer_scores: Annotated[
        Path | None,
        typer.Option("--no-answer-scores", help="JSON: ids of questions with how likely they have no answer."),
    ] = None,
    no_answer_threshold: Annotated[
        float, typer.Option("--no-answer-threshold", help="Scores above it make a prediction empty.")
    ] = 1.0,
    compare: CompareOption = None,
    tolerance: ToleranceOption = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Score a file of predictions as the official SQuAD 2.0 script does, to the last digit.

    Questions without a prediction are named and left out, where that script fails.
    """
    from qa_app.datasets.squad import read_no_answer_scores, read_predictions, read_questions
    from qa_app.evaluation.comparison import check_comparable
    from qa_app.evaluation.squad import evaluate

    earlier = earlier_run(compare)
    questions, answers = read_questions(file), read_predictions(given)
    scores = read_no_answer_scores(no_answer_scores) if no_answer_scores else None
    known = {question.id for question in questions}
    _tell_ids(f"questions of {file} have no prediction and are left out", known - answers.keys())
    _tell_ids(f"predictions are for questions that are not in {file}", answers.keys() - known)
    if earlier:
        check_comparable(earlier, (one for one in questions if one.id in answers), scored=scores is not None)
    _finish(evaluate(questions, answers, scores, no_answer_threshold), earlier, tolerance, as_json=as_json)


@app.command("pipeline")
def pipeline(
    file: FileArgument,
    model: ModelOption = None,
    engine: EngineOption = None,
    top_k: Annotated[int | None, typer.Option("--top-k", help="Answers wanted.", show_default=False)] = None,
    passages: Annotated[int | None, typer.Option("--passages", help="Passages read.", show_default=False)] = None,
    limit: LimitOption = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write a page with plots and misses.", metavar="OUT.html")
    ] = None,
    compare: CompareOption = None,
    tolerance: ToleranceOption = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Answer the questions from an index of all contexts, as documents would be; says who missed what.

    The index is made for this and removed afterwards; what is indexed otherwise is left alone.
    """
    quiet_libraries()
    from qa_app import bootstrap
    from qa_app import settings as settings_room
    from qa_app.datasets.squad import read_with_digest
    from qa_app.evaluation.comparison import check_comparable

    settings = settings_room.load(
        {"reader_model": model, "reader_engine": engine, "reader_top_k": top_k, "retriever_top_k": passages}
    )
    earlier = earlier_run(compare)
    check_writable(report)
    questions, digest = read_with_digest(file, places=True)
    asked = questions[:limit]
    if earlier:
        check_comparable(earlier, asked, pipeline=True, sha256=digest)
    tell_promoted(settings, model)
    with bootstrap.open_pipeline_evaluation(settings, chosen=model) as evaluation:
        evaluation.index(questions)
        outcomes = list(counted(evaluation.run(asked), asked))
        about = _about(settings, evaluation, file, len(outcomes))

    from qa_app.evaluation import outcomes as counting

    figures, missed = counting.metrics(outcomes), counting.misses(outcomes)
    if report:
        from qa_app.evaluation.report import report as page

        _write(report, page(outcomes, about))
        say(f"the report is in {report}")
    times = counting.latency(outcomes)
    if as_json:
        print_json(
            {
                "metrics": figures,
                "latency_ms": times,
                "calibration": [asdict(part) for part in counting.reliability(outcomes)],
                "run": {**about, "sha256": digest},
                "misses": [asdict(miss) for miss in missed],
            }
        )
    else:
        _print_figures({**figures, **{f"{name} (ms)": value for name, value in times.items()}})
        _print_misses(missed)
    if len(outcomes) < _FEW:
        say(f"ece is of {len(outcomes)} questions, too few to mean much; ask {_FEW} or more")
    fail_if_worse(figures, earlier, tolerance)


def _about(settings: Settings, evaluation: PipelineEvaluation, file: Path, asked: int) -> dict[str, object]:
    """What was run on what, for those who read the figures later."""
    return {
        "file": file.name,
        "questions": asked,
        "contexts": evaluation.contexts,
        "passages": evaluation.passages,
        "store": settings.store,
        "reader": evaluation.reader.resolved.name,
        "engine": evaluation.reader.engine,
        "passages read": settings.retriever_top_k,
        "answers": settings.reader_top_k,
        "least precision": settings.reader_min_precision,
        "calibration": evaluation.reader.calibrated_by,
        "time": time.strftime("%Y-%m-%d %H:%M"),
    }


def counted(results: Iterable[T], questions: Sequence[Question]) -> Iterator[T]:
    """The results, one a question, with progress on standard error."""
    from qa_app.cli.progress import Progress

    with Progress(len(questions), "questions") as progress:
        for question, result in zip(questions, results):
            progress.advance(question.text)
            yield result


def _finish(figures: Mapping[str, float], earlier: EarlierRun | None, tolerance: float, *, as_json: bool) -> None:
    if as_json:
        print_json(figures)
    else:
        _print_figures(figures)
    fail_if_worse(figures, earlier, tolerance)


def _print_figures(figures: Mapping[str, float]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in figures.items():
        digits = ".4g" if name.endswith("_thresh") else ".2f"  # most thresholds lie near 0 or 1
        table.add_row(name, f"{value:,}" if isinstance(value, int) else f"{value:{digits}}")
    console().print(table)


def _print_misses(missed: Sequence[Miss]) -> None:
    if not missed:
        return
    out = console()
    surest = f", the surest {_PRINTED} of them" if len(missed) > _PRINTED else ""
    out.print(f"\n{len(missed)} {'miss' if len(missed) == 1 else 'misses'}{surest}:")
    for miss in sorted(missed, key=lambda miss: -miss.confidence)[:_PRINTED]:
        right = " | ".join(miss.expected) or "no answer"
        out.print(f"- {shown(miss.question)}")
        out.print(f"  right: {shown(right)}; given: {shown(miss.answer or 'no answer')} ({miss.confidence:.0%} sure)")
        out.print(f"  {miss.why}")


def _tell_ids(what: str, ids: set[str]) -> None:
    if ids:
        say(f"{len(ids)} {what}: {', '.join(sorted(ids)[:_NAMED])}{', ...' if len(ids) > _NAMED else ''}")


def check_writable(path: Path | None) -> None:
    """Raises SettingsError where a file cannot be written; asked first, so that no long run ends in it."""
    if path and (path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK)):
        raise SettingsError(f"{path} cannot be written; name a file in a folder that is there and may be written to")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}") from error
