"""The processes that ingest: they make files, and bring them into a store as ``qa-app ingest`` does."""

from __future__ import annotations

import io
import os
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import child

#: Passages that a file makes, nearly always; reports have the true count.
A_FILE = 8
_A_LINE, _A_PAGE = 90, 45
_TOP_K = 10
_MODULE = "benchmarks.ingesting"
#: What a server just started compiles its code with: passages of an index that is thrown away.
_WARM = 20_000
_WARMING = 300


def warm_up(folder: Path, passages: int, url: str) -> str:
    """Has the server index up to 20,000 passages that are then thrown away; a note that says so."""
    child.say("warming the server up")
    files = max(min(passages, _WARM) // A_FILE, 1)
    child.run(_MODULE, "make_files", folder=str(folder), files=files)
    data = str(folder.with_suffix(".data"))
    found = child.run(_MODULE, "with_qa_app", folder=str(folder), data=data, url=url, questions=_WARMING, among=files)
    return (
        f"The server compiles its code while it works: {found['passages']:,} passages went into an index that was "
        f"thrown away before anything was measured, and {_WARMING} questions were asked of it."
    )


def make_files(folder: str, files: int, first: int = 0, form: str = "txt") -> dict[str, Any]:
    """Writes the texts from number ``first`` up to ``files``, a thousand to a folder, as txt, pdf or docx."""
    from benchmarks.corpus import Corpus

    corpus = Corpus()
    forms: dict[str, Callable[[str], bytes]] = {"txt": str.encode, "pdf": _pdf, "docx": _docx}
    for number in range(first, files):
        path = Path(folder) / f"{number // 1000:03}" / f"text-{number:06}.{form}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(forms[form](corpus.file(number)))
    return {}


def _pdf(text: str) -> bytes:
    from tests.make_bad import pdf

    lines = [line for part in text.split("\n\n") for line in (*textwrap.wrap(part, _A_LINE), "")]
    # The font of these files has Western letters only.
    lines = [line.encode("cp1252", "replace").decode("cp1252") for line in lines]
    return pdf(["\n".join(lines[start : start + _A_PAGE]) for start in range(0, len(lines), _A_PAGE)])


def _docx(text: str) -> bytes:
    import docx

    document = docx.Document()
    title, *paragraphs = text.split("\n\n")
    document.add_heading(title)
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def with_qa_app(folder: str, data: str, url: str | None, questions: int = 0, among: int = 1) -> dict[str, Any]:
    """Ingests the folder, into Elasticsearch where there is ``url``, then asks ``questions`` about the first files.

    The questions are the same for the same number of questions and of files ``among`` which they are spread.
    """
    from qa_app.haystack_without_torch import import_haystack

    import_haystack()
    from benchmarks.memory import Quarters, peak_mb
    from qa_app import bootstrap
    from qa_app.pipelines.walking import Walk
    from qa_app.settings import load

    values: dict[str, object] = {"data_dir": data, "index": f"bench-{os.getpid()}"}
    if url:
        values |= {"store": "elasticsearch", "elasticsearch_url": url}
    settings = load(values, environment={})
    files = sum(path.is_file() for path in Path(folder).rglob("*"))
    quarters = Quarters(files)
    before = os.times()
    with (
        bootstrap.open_store(settings) as store,
        bootstrap.open_ingestion(
            settings, store, meta={}, walk=Walk(), prune=False, on_done=quarters.step
        ) as ingestion,
    ):
        report = ingestion.run([Path(folder)])
        most = peak_mb()
        found = store.get_document_count()
        if found != report.passages or report.counts != {"indexed": files}:
            raise RuntimeError(f"{found} passages are there of {report.passages}; files: {report.counts}")
    # Children count once they have ended.
    after = os.times()
    with bootstrap.open_store(settings) as store:
        try:
            seconds = _ask(store, url, questions, among) if questions else []
        finally:
            if url:  # the embedded store goes with its folder
                store.delete_index(settings.index)
    parsers = after.children_user + after.children_system - before.children_user - before.children_system
    return {
        "files": files,
        "passages": report.passages,
        "seconds": report.seconds,
        "cpu": after.user + after.system - before.user - before.system + parsers,
        "parsers_cpu": parsers,
        "workers": settings.ingest_workers,
        "peak_mb": most,
        "quarters_mb": quarters.own_mb,
        "children_mb": quarters.children_mb,
        "question_seconds": seconds,
    }


def _ask(store: Any, url: str | None, questions: int, among: int) -> list[float]:
    """Seconds of every question; the first, which opens what a search needs, is asked once more before."""
    from benchmarks.corpus import Corpus
    from benchmarks.server import wait_for_merges

    corpus = Corpus()
    asked = [corpus.question_about_file(number * among // questions) for number in range(questions)]
    if url:
        wait_for_merges(url)
    seconds = []
    for question in (asked[0], *asked):
        started = time.perf_counter()
        if not store.query(question, top_k=_TOP_K):
            raise RuntimeError(f"nothing is found for {question!r}")
        seconds.append(time.perf_counter() - started)
    return seconds[1:]
