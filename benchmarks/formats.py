"""What PDF and Word files cost beside plain text: the same texts in each form, into the embedded store."""

from __future__ import annotations

from pathlib import Path

from benchmarks import child
from benchmarks.ingesting import A_FILE
from benchmarks.report import Cell, Plot, Table

_FORMS = {"plain text": "txt", "PDF": "pdf", "Word": "docx"}
#: Enough for a steady rate; PDF takes a minute of two cores.
_MOST = 20_000
_MODULE = "benchmarks.ingesting"


def measure(folder: Path, passages: int) -> Table:
    """Ingests about ``passages`` passages, at most 20,000, in each form; ``folder`` is for the files."""
    files = max(min(passages, _MOST) // A_FILE, 1)
    rows: list[dict[str, Cell]] = []
    bars = []
    for name, form in _FORMS.items():
        child.say(f"ingestion: {files:,} files as {name}")
        place = folder / form
        child.run(_MODULE, "make_files", folder=str(place), files=files, form=form)
        found = child.run(_MODULE, "with_qa_app", folder=str(place), data=str(folder / f"{form}-data"), url=None)
        seconds, parsers = found["seconds"], found["parsers_cpu"]
        bars.append((name, found["passages"] / seconds))
        rows.append(
            {
                "": name,
                "files": found["files"],
                "passages": found["passages"],
                "seconds": seconds,
                "files a second": found["files"] / seconds,
                "passages a second": found["passages"] / seconds,
                "CPU seconds": found["cpu"],
                "of them parsers'": parsers,
                "parsers' share of CPU, %": 100 * parsers / found["cpu"],
                "parsers at work, %": 100 * parsers / seconds / found["workers"],
                "converting children, MB": found["children_mb"],
            }
        )
    notes = [
        "The same texts in each form, one page or two a file, SQLite. Parsers are the child processes that read files, "
        "with their start and the sending of texts. 'At work' is the share of the time that all of them together were "
        "computing: at 100 nothing but faster parsers or more cores would help.",
        "The PDF files are plain ones, with a font of Western letters; typeset ones with letters placed one by one "
        "take longer. The Word files are python-docx's, with its styles.",
    ]
    return Table("formats", "Ingestion of PDF and Word files", rows, notes, Plot("passages a second", bars))
