"""The command ``qa-app``: its commands, and what becomes of errors."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from qa_app import __version__
from qa_app.cli import (
    ask,
    calibrate,
    demo,
    doctor,
    documents,
    evaluate,
    improve,
    ingest,
    page,
    predict,
    serve,
    train,
    transfer,
)
from qa_app.cli.output import say
from qa_app.errors import QaAppError

#: Typer ends so after Ctrl-C.
INTERRUPTED = 130

app = typer.Typer(
    name="qa-app",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Answers questions from a folder of documents, in the documents' own words.",
    epilog="Settings: qa_app.yaml in this folder, or the environment (QA_DATA_DIR, QA_STORE, ...); see the README.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"qa-app {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Answers questions from a folder of documents, in the documents' own words."""


app.command("ingest")(ingest.ingest)
app.command("ask")(ask.ask)
app.command("predict")(predict.predict)
app.add_typer(documents.app, name="documents")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(train.app, name="train")
app.command("calibrate")(calibrate.calibrate)
app.command("improve")(improve.improve)
app.command("up")(page.up)
app.command("serve")(serve.serve)
app.command("ui")(page.ui)
app.command("key")(serve.key)
app.command("export")(transfer.export)
app.command("import")(transfer.import_)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)


def run() -> None:
    """Runs the command line and ends the process with the exit code of :mod:`qa_app.errors`."""
    try:
        app()
    except QaAppError as error:
        say(f"error: {error}")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output went away, as `head` does; that is no failure of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            say("interrupted; what was done is kept")
        raise
