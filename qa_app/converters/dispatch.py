"""From bytes and a name to an extraction: what the child process does with each file."""

from __future__ import annotations

from importlib import import_module

from qa_app.converters.extraction import Extraction
from qa_app.converters.registry import FORMATS, HTML, MARKDOWN, PDF, TEXT
from qa_app.converters.sniffing import sniff
from qa_app.errors import FileRejectedError

#: A longer text is a dump, not a document; it would fill the memory of everything that comes after.
MAX_TEXT_CHARS = 20_000_000
MAX_PAGES = 100_000
#: The rest of an endless list of headings is still in the text.
MAX_HEADINGS = 20_000


def extract(data: bytes, name: str, only: str | None = None) -> Extraction:
    """Gives the text of ``data``, whose format is sniffed, or must be the one named ``only``.

    Raises :class:`FileRejectedError` with the reasons of :func:`sniff` and of the format's module, and ``empty_file``,
    ``no_text``, ``too_large``, ``encoding``.
    """
    if not data:
        raise FileRejectedError("empty_file", "the file is empty")
    found = sniff(data, name)
    if only is not None and found.name != only:
        # Markdown is text and text is Markdown: there the caller knows better than the suffix.
        if {found.name, only} != {TEXT.name, MARKDOWN.name}:
            raise FileRejectedError("unsupported_type", f"this is a {found.name} file; only {only} is taken here")
        found = FORMATS[only]
    extraction: Extraction = import_module(found.module).extract(data)
    _check(extraction)
    if len(extraction.headings) > MAX_HEADINGS:
        return Extraction(
            text=extraction.text,
            media_type=extraction.media_type,
            page_starts=extraction.page_starts,
            headings=extraction.headings[:MAX_HEADINGS],
            encoding=extraction.encoding,
            meta=extraction.meta,
        )
    return extraction


def _check(extraction: Extraction) -> None:
    text = extraction.text
    if not text or text.isspace():
        if extraction.media_type == PDF.media_type:
            hint = "its pages are images without a text layer; run OCR on it first"
        elif extraction.media_type == HTML.media_type:
            hint = "the page holds no visible text; it may be filled in by a script"
        else:
            hint = "there are only blanks in it"
        raise FileRejectedError("no_text", f"no text was found: {hint}")
    if len(text) > MAX_TEXT_CHARS:
        raise FileRejectedError(
            "too_large", f"the text has {len(text):,} characters; the limit is {MAX_TEXT_CHARS:,}; split the file"
        )
    if len(extraction.page_starts) > MAX_PAGES:
        raise FileRejectedError("too_large", f"the file has more than {MAX_PAGES:,} pages; split it")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise FileRejectedError(
            "encoding", f"the text holds half of a surrogate pair at character {error.start}, which is no character"
        ) from error
