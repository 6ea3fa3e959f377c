"""``qa-app ask``: a question, the answers in their sentences, and where they stand."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qa_app.cli.ingest import IndexOption, JsonOption
from qa_app.cli.output import console, print_json, quiet_libraries, say, shown
from qa_app.errors import SettingsError

if TYPE_CHECKING:
    from haystack.schema import Answer, Document
    from rich.console import Console
    from rich.text import Text

    from qa_app.settings import Settings

#: Characters of a near passage that are printed where there is no answer.
_GLIMPSE = 200
#: Answers that are less likely are left to --json.
_WORTH_SHOWING = 0.01
#: From here on it is likelier than not that there is no answer.
_LIKELY = 0.5


def ask(
    question: Annotated[str, typer.Argument(help="The question, in quotes.", show_default=False)],
    index: IndexOption = None,
    top_k: Annotated[int | None, typer.Option("--top-k", help="Answers wanted.", show_default=False)] = None,
    passages: Annotated[int | None, typer.Option("--passages", help="Passages read.", show_default=False)] = None,
    filters: Annotated[
        str | None,
        typer.Option("--filters", help="""Haystack filter as JSON, such as '{"lang": "en"}'.""", show_default=False),
    ] = None,
    min_precision: Annotated[
        float | None,
        typer.Option(
            "--min-precision",
            min=0.0,
            max=1.0,
            help="Answer only so surely that this share of such answers was right, 0.9 say.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a question from the indexed documents."""
    quiet_libraries()
    from qa_app import settings as settings_room
    from qa_app.pipelines.questions import check_question

    check_question(question)
    settings = settings_room.load(
        {
            "index": index,
            "reader_top_k": top_k,
            "retriever_top_k": passages,
            "reader_min_precision": min_precision,
        }
    )
    params = {"filters": _parsed(filters)} if filters is not None else {}
    with Answering(settings) as answering:
        result = answering.ask(question, params)
        if as_json:
            from qa_app.pipelines.answering import response

            print_json(response(result))
        else:
            print_answers(question, result, withheld=settings.reader_min_precision > 0)
            if settings.reader_min_precision and not result["answers"][0].answer:
                say(f"only answers of a kind that was right in {settings.reader_min_precision:.0%} of cases are given")
            if filters is not None and not result["documents"]:
                say("no document that --filters leaves has a word of this question; 'documents show' names fields")


class Answering:
    """The answering pipeline over the settings' store, opened once for any number of questions."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __enter__(self) -> Answering:
        from qa_app import bootstrap

        self._store = bootstrap.open_store(self.settings)
        store = self._store.__enter__()
        try:
            if not store.get_document_count():
                say(f"nothing is indexed in {self.settings.index!r} yet; 'qa-app ingest FOLDER' does it")
            reader = bootstrap.open_reader(self.settings)
        except BaseException:
            self.__exit__()
            raise
        self.reader = reader
        self.pipeline = bootstrap.build_answering(self.settings, store, reader)
        return self

    def __exit__(self, *_: object) -> None:
        self._store.__exit__(None, None, None)

    def ask(self, question: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Haystack's answer to a query."""
        from qa_app.pipelines.answering import ask as ask_pipeline

        return ask_pipeline(self.pipeline, question, params)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise SettingsError(f"--filters is not JSON: {error}") from error


def print_answers(question: str, result: dict[str, Any], *, withheld: bool = False) -> None:
    """The answers for a person: best first, each in its sentence, with its place.

    Where none is best, what the reader would say otherwise, or else the nearest passages. With ``withheld`` answers
    that were not sure enough were left out, so that there may be one.
    """
    out = console()
    out.print(shown(question), style="bold")
    documents = {document.id: document for document in result["documents"]}
    answers: list[Answer] = result["answers"]
    spans = [answer for answer in answers if answer.answer and answer.score >= _WORTH_SHOWING]
    if spans and answers[0].answer:
        none = next((answer for answer in answers if not answer.answer), None)
        for number, answer in enumerate(spans, 1):
            _print_answer(out, number, answer, documents)
            if number == 1 and none:
                out.print(f"   (no answer in these documents: {none.score:.0%})")
    else:
        sure = f" ({answers[0].score:.0%} sure)" if answers and documents else ""
        unsure = withheld and answers and documents and answers[0].score < _LIKELY
        out.print("   No answer that is sure enough." if unsure else f"   No answer in these documents{sure}.")
        if spans:
            out.print("   What the reader would say otherwise:")
            for number, answer in enumerate(spans, 1):
                _print_answer(out, number, answer, documents)
        elif documents:
            out.print("   The nearest passages:")
            for document in list(documents.values())[:3]:
                out.print(f"   - {_place(document.meta, document.meta.get('start'), document.meta.get('end'))}")
                out.print(f"     {shown(textwrap.shorten(document.content, _GLIMPSE, placeholder=' ...'))}")
    out.print()


def _print_answer(out: Console, number: int, answer: Answer, documents: dict[str, Document]) -> None:
    out.print(f"{number:>2} {shown(answer.answer)}  {answer.score:.0%}")
    out.print("   ", _sentence(out, answer, documents[answer.document_ids[0]]), sep="")
    out.print(f"   {_place(answer.meta, answer.meta['answer_start'], answer.meta['answer_end'])}")


def _sentence(out: Console, answer: Answer, document: Document) -> Text:
    """The sentences around the answer, with the answer marked: styled on a terminal, in brackets elsewhere."""
    from rich.text import Text

    from qa_app.splitting.sentences import sentence_spans

    span = answer.offsets_in_document[0]
    text: str = document.content
    around = [s for s in sentence_spans(text, 0, len(text)) if s[0] < span.end and s[1] > span.start]
    start, end = (min(around[0][0], span.start), max(around[-1][1], span.end)) if around else (span.start, span.end)
    styled = out.is_terminal and not out.no_color
    return Text.assemble(
        shown(text[start : span.start]),
        (shown(answer.answer), "bold reverse") if styled else f"[{shown(answer.answer)}]",
        shown(text[span.end : end]),
    )


def _place(meta: dict[str, Any], start: object, end: object) -> str:
    page = meta.get("answer_page", meta.get("page"))
    parts = [
        meta.get("path") or meta.get("name") or "document",
        f"page {page}" if page else None,
        f"characters {start}-{end}" if start is not None else None,
        f'under "{meta["heading"]}"' if meta.get("heading") else None,
    ]
    return shown(", ".join(part for part in parts if part))
