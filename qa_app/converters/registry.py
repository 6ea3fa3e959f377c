"""The formats that are taken, one line each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """A format: its name, media type, usual suffixes, and the module with its ``extract(data) -> Extraction``."""

    name: str
    media_type: str
    suffixes: tuple[str, ...]
    module: str


_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

# Modules are named, not imported: a child that reads text files never pays for the PDF parser.
TEXT = Format("text", "text/plain", (".txt", ".text", ".log"), "qa_app.converters.plain_text")
MARKDOWN = Format("markdown", "text/markdown", (".md", ".markdown"), "qa_app.converters.markdown")
HTML = Format("html", "text/html", (".html", ".htm", ".xhtml"), "qa_app.converters.html")
PDF = Format("pdf", "application/pdf", (".pdf",), "qa_app.converters.pdf")
DOCX = Format("docx", _DOCX, (".docx", ".docm"), "qa_app.converters.docx")

FORMATS: dict[str, Format] = {taken.name: taken for taken in (TEXT, MARKDOWN, HTML, PDF, DOCX)}
