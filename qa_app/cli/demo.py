"""``qa-app demo``: indexes the sample documents and asks five questions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qa_app.cli.output import quiet_libraries, say
from qa_app.errors import NotFoundError

#: Answered in a text, a Markdown, a PDF and a Word file, and nowhere.
QUESTIONS = (
    "Which former student helped Wiles to repair his proof?",
    "In how many languages does the Golden Record say hello?",
    "How much did the PDP-8 cost?",
    "When was Ada Lovelace born?",
    "Who won the football World Cup of 1998?",
)


def samples_folder() -> Path:
    """Where the sample documents are: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    for folder in (package / "samples", package.parent / "samples"):
        if folder.is_dir():
            return folder
    raise NotFoundError("the sample documents are not installed; name a folder with --samples")


def demo(
    samples: Annotated[Path | None, typer.Option("--samples", help="Folder of documents.", show_default=False)] = None,
) -> None:
    """Index the sample documents and answer five questions from them."""
    quiet_libraries()
    from qa_app import settings as settings_room
    from qa_app.cli.ask import Answering, print_answers
    from qa_app.cli.ingest import print_report, run_ingestion
    from qa_app.pipelines.walking import Walk

    settings = settings_room.load({"index": "demo"})
    folder = samples or samples_folder()
    say(f"indexing {folder} ...")
    print_report(run_ingestion(settings, [folder], {}, Walk(exclude=("*.json",)), prune=True))
    say("loading the reader ...")
    with Answering(settings) as answering:
        typer.echo()
        for question in QUESTIONS:
            print_answers(question, answering.ask(question))
    say('more of these: qa-app ask --index demo "QUESTION"; your own: qa-app ingest FOLDER, then qa-app ask "QUESTION"')
