"""``qa-app train``: models trained from examples, with progress and time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qa_app.cli.ingest import JsonOption
from qa_app.cli.output import console, print_json, quiet_libraries, say, shown

if TYPE_CHECKING:
    from qa_app.training.loop import Progress

#: Seconds between two plain lines of progress where there is no terminal.
_EVERY = 15.0

app = typer.Typer(no_args_is_help=True, help="Train models from examples; a killed run is continued by its command.")

OutputOption = Annotated[Path, typer.Option("--output", metavar="FOLDER", help="Where the model goes.")]
EpochsOption = Annotated[int, typer.Option("--epochs", help="How often every example is seen.")]
RateOption = Annotated[float, typer.Option("--learning-rate", help="Its highest value.")]
TokensOption = Annotated[int, typer.Option("--tokens", help="Tokens in a step.")]
WarmupOption = Annotated[float, typer.Option("--warmup", help="Share of steps in which the learning rate rises.")]
SeedOption = Annotated[int, typer.Option("--seed", help="What chance follows from.")]
AverageOption = Annotated[bool, typer.Option("--average", help="Keep a running mean of the weights.")]
ValidationsOption = Annotated[int, typer.Option("--validations", help="Validations in an epoch.")]
PatienceOption = Annotated[int, typer.Option("--patience", help="Stop after so many of them without a better score.")]
PrecisionOption = Annotated[
    str, typer.Option("--precision", help="bf16, f32, or auto: bf16 where the machine has it in hardware.")
]
HalfOption = Annotated[bool, typer.Option("--half", help="Write the weights in 16 bits.")]
CheckpointOption = Annotated[float, typer.Option("--checkpoint-minutes", help="Minutes between two checkpoints.")]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace a model, or give up an unfinished run with other options.")
]


@app.callback()
def train() -> None:
    """Train models from examples; a killed run is continued by its command."""


@app.command("question-answering")
def question_answering(
    context: typer.Context,
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...", help="SQuAD files, exported feedback; FILE:2 takes one twice, FILE:0.5 half."
        ),
    ],
    output: OutputOption,
    start: Annotated[
        str, typer.Option("--from", metavar="MODEL", help="A reader or encoder: folder, name on the hub, or 'bundled'.")
    ] = "bundled",
    validation: Annotated[
        list[str] | None,
        typer.Option("--validation", metavar="FILE", help="SQuAD file to validate with; repeatable.  [some documents]"),
    ] = None,
    epochs: EpochsOption = 2,
    learning_rate: RateOption = 1e-4,
    tokens: TokensOption = 4096,
    warmup: WarmupOption = 0.06,
    seed: SeedOption = 1,
    max_seq_len: Annotated[int, typer.Option("--max-seq-len", help="Tokens in a window.")] = 256,
    stride: Annotated[int, typer.Option("--stride", help="Tokens from a window to the next.")] = 128,
    max_per_context: Annotated[
        int | None,
        typer.Option("--max-per-context", help="Questions to draw of a context's in a file.", show_default=False),
    ] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Pass over entries that cannot be used.")] = False,
    average: AverageOption = False,
    teacher: Annotated[
        str | None, typer.Option("--teacher", metavar="MODEL", help="A reader to imitate.", show_default=False)
    ] = None,
    teacher_weight: Annotated[float, typer.Option("--teacher-weight", help="Share of it in the loss.")] = 0.5,
    temperature: Annotated[float, typer.Option("--temperature", help="What softens its scores.")] = 2.0,
    validations: ValidationsOption = 2,
    patience: PatienceOption = 3,
    precision: PrecisionOption = "auto",
    half: HalfOption = False,
    checkpoint_minutes: CheckpointOption = 5.0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a reader from questions with answers; the folder is one that reader.model takes.

    Of all validations the best weights are kept. Killed, the same command goes on from the last checkpoint.
    """
    quiet_libraries()
    from qa_app.training.question_answering import Options, train_question_answering

    _train(context, Options, train_question_answering)


def _classification(
    context: typer.Context,
    data: Annotated[list[str], typer.Argument(metavar="DATA...", help="Files with examples; may be gzipped.")],
    output: OutputOption,
    start: Annotated[
        str, typer.Option("--from", metavar="MODEL", help="A model: folder, name on the hub, or 'bundled'.")
    ] = "bundled",
    validation: Annotated[
        list[str] | None,
        typer.Option("--validation", metavar="FILE", help="File to validate with; repeatable.  [a tenth]"),
    ] = None,
    epochs: EpochsOption = 3,
    learning_rate: RateOption = 1e-4,
    tokens: TokensOption = 2048,
    warmup: WarmupOption = 0.06,
    seed: SeedOption = 1,
    max_seq_len: Annotated[int, typer.Option("--max-seq-len", help="Tokens that are looked at together.")] = 256,
    average: AverageOption = False,
    validations: ValidationsOption = 2,
    patience: PatienceOption = 3,
    precision: PrecisionOption = "auto",
    half: HalfOption = False,
    checkpoint_minutes: CheckpointOption = 5.0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    quiet_libraries()
    from qa_app.training.classification import Options
    from qa_app.training.text_classification import train_text_classification
    from qa_app.training.token_classification import train_token_classification

    is_text = context.info_name == "text-classification"
    _train(context, Options, train_text_classification if is_text else train_token_classification)


app.command(
    "text-classification",
    help="Train a model that gives passages a label, for enrich.classifier.\n\n"
    "DATA has a text and a label in each row: CSV with a header, JSON Lines, or text;label.",
)(_classification)
app.command(
    "token-classification",
    help="Train a model that finds entities in passages, for enrich.entities.\n\n"
    "DATA has the columns of CoNLL-2003, the word first and its tag (IOB1 or IOB2) last.",
)(_classification)


def _train(context: typer.Context, kind: Callable[..., Any], train: Callable[..., dict[str, Any]]) -> None:
    """Trains as the command's options say; they have the names of the fields of ``kind`` and of its recipe."""
    from qa_app.training.loop import Recipe

    given = context.params

    def chosen(record: Any) -> dict[str, Any]:
        return {field.name: given[field.name] for field in fields(record) if field.name in given}

    lists = {"data": tuple(given["data"]), "validation": tuple(given["validation"] or ())}
    options = kind(**{**chosen(kind), **lists, "recipe": Recipe(**chosen(Recipe))})
    output = Path(given["output"])
    with TrainingProgress() as progress:
        made = train(
            options,
            output,
            checkpoint_minutes=given["checkpoint_minutes"],
            overwrite=given["overwrite"],
            on_progress=progress.show,
            on_message=progress.say,
        )
    if given["as_json"]:
        print_json(made)
    else:
        typer.echo(f"{output}: {_scores(made['scores'])} after step {made['step']} of {made['steps']}")


class TrainingProgress:
    """Steps, loss and time left: a bar on a terminal, a plain line now and then elsewhere."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
            from rich.progress import Progress as Bar

            text = TextColumn("{task.description}", markup=False)
            self._bar = Bar(text, BarColumn(), MofNCompleteColumn(), console=console(error=True))
            self._task = self._bar.add_task("preparing", total=None)

    def __enter__(self) -> TrainingProgress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Where the run is; scores stay above the progress."""
        if progress.scores:
            self.say(f"step {progress.step}: {_scores(progress.scores)}")
        text = (
            f"epoch {progress.epoch}, loss {progress.loss:.3f}, {progress.tokens_per_second:.0f} tokens/s, "
            f"{_duration(progress.seconds_left)} left"
        )
        if self._bar:
            self._bar.update(self._task, completed=progress.step, total=progress.steps, description=text)
        elif time.monotonic() - self._last > _EVERY:
            self._last = time.monotonic()
            say(f"step {progress.step} of {progress.steps}, {text}")

    def say(self, message: str) -> None:
        """A line that stays."""
        if self._bar:
            self._bar.console.print(shown(message))
        else:
            say(message)


def _scores(scores: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in scores.items() if name != "score")


def _duration(seconds: float) -> str:
    minutes, hours = round(seconds / 60), int(seconds // 3600)
    if hours:
        return f"{hours} h {round(seconds / 60) % 60} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"
