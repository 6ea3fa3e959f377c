"""PDF: the text layer page by page, bookmarks as headings."""

from __future__ import annotations

import datetime
import io
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pypdf import PdfReader
from pypdf.errors import (
    DependencyError,
    FileNotDecryptedError,
    LimitReachedError,
    PdfReadError,
    PyPdfError,
    WrongPasswordError,
)

from qa_app.converters.extraction import Extraction, Heading, Meta, bounded, heading_title, normalise
from qa_app.converters.registry import PDF
from qa_app.errors import FileRejectedError

#: At tens of pages a second, more would not finish within any sensible time limit.
MAX_PAGES = 5_000
MAX_BOOKMARKS = 10_000

_PAGE_GAP = "\n\n"
# A writer ends the file with this mark; a little junk after it is common.
_END_MARK, _END_MARK_WITHIN = b"%%EOF", 2048


def extract(data: bytes) -> Extraction:
    """Gives the text of ``data``; ``meta["partial"]`` is True where pages could not be read or the file is cut off.

    Raises :class:`FileRejectedError`: ``encrypted``, ``corrupt``, ``too_large`` (pages), ``archive_limit``,
    ``too_deep``.
    """
    reader = _open(data)
    pages = _pages(reader)
    texts: list[str] = []
    failures: list[Exception] = []
    with _damaged_streams() as damaged:
        for page in pages:
            try:
                texts.append(_clean(page.extract_text()))
            except (MemoryError, KeyboardInterrupt):
                raise
            except Exception as error:  # noqa: BLE001 - broken pages surface as anything; the others are still good
                failures.append(error)
                texts.append("")
    failures.extend(PdfReadError(complaint) for complaint in damaged)
    if failures and not any(texts):
        raise _rejection(failures[0])
    starts = []
    start = 0
    for text in texts:
        starts.append(start)
        start += len(text) + len(_PAGE_GAP)
    meta = _meta(reader)
    if failures or _END_MARK not in data[-_END_MARK_WITHIN:]:
        meta["partial"] = True
    return Extraction(
        text=_PAGE_GAP.join(texts),
        media_type=PDF.media_type,
        page_starts=tuple(starts),
        headings=tuple(_headings(reader, texts, starts)),
        meta=meta,
    )


@contextmanager
def _damaged_streams() -> Iterator[list[str]]:
    """Collects what pypdf only logs: that it went on without a stream it could not unpack, or without forms."""
    complaints: list[str] = []

    def collect(record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.name == "pypdf.filters" or "XFormObject" in message or "form XObject invocations" in message:
            complaints.append(message)

    collector = logging.Handler(logging.WARNING)
    collector.emit = collect  # type: ignore[method-assign]
    logger = logging.getLogger("pypdf")
    logger.addHandler(collector)
    try:
        yield complaints
    finally:
        logger.removeHandler(collector)


def _open(data: bytes) -> PdfReader:
    try:
        reader = PdfReader(io.BytesIO(data), strict=False)
        locked = reader.is_encrypted and not reader.decrypt("")
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise _rejection(error) from error
    if locked:
        raise FileRejectedError("encrypted", "this PDF needs a password; save it without one")
    return reader


def _pages(reader: PdfReader) -> list[Any]:
    try:
        count = len(reader.pages)
        if count > MAX_PAGES:
            raise FileRejectedError("too_large", f"this PDF has {count:,} pages; the limit is {MAX_PAGES:,}; split it")
        pages = list(reader.pages)
    except (MemoryError, KeyboardInterrupt, FileRejectedError):
        raise
    except Exception as error:
        raise _rejection(error) from error
    if not pages:
        raise FileRejectedError("corrupt", "this PDF has no pages that can be read; it may be cut off")
    return pages


def _rejection(error: Exception) -> FileRejectedError:
    """Translates whatever pypdf raised; broken files make it raise nearly anything."""
    if isinstance(error, FileNotDecryptedError | WrongPasswordError | DependencyError | NotImplementedError):
        return FileRejectedError("encrypted", "this PDF is protected in a way that cannot be opened; save it without")
    if isinstance(error, LimitReachedError):
        return FileRejectedError("archive_limit", f"this PDF unpacks to more than the limits allow ({error})")
    if isinstance(error, RecursionError):
        return FileRejectedError("too_deep", "the objects of this PDF are nested too deeply, or in a circle")
    what = str(error) if isinstance(error, PyPdfError) else type(error).__name__
    return FileRejectedError("corrupt", f"this PDF is damaged or cut off ({what[:200]})")


def _clean(text: str) -> str:
    # A damaged font table may yield halves of surrogate pairs, which are no characters and cannot be stored.
    return re.sub(r"[\ud800-\udfff]", "\ufffd", normalise(text)).strip("\n ")


def _meta(reader: PdfReader) -> Meta:
    found: dict[object, object] = {}
    try:
        info = reader.metadata
        if info is not None:
            found = {"title": info.title, "author": info.author}
            created = info.creation_date
            found["created"] = created.date().isoformat() if isinstance(created, datetime.datetime) else None
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception:  # noqa: BLE001, S110 - what a file says of itself is never worth its text
        pass
    return bounded(found)


def _headings(reader: PdfReader, texts: list[str], starts: list[int]) -> list[Heading]:
    """Places the bookmarks in the text: where their title stands on their page, else where the page starts."""
    found: list[Heading] = []
    searched_to: dict[int, int] = {}
    try:
        for level, bookmark in _bookmarks(reader):
            title = heading_title(_clean(str(bookmark.title or "")))
            page = reader.get_destination_page_number(bookmark)
            if not title or page is None or not 0 <= page < len(texts):
                continue
            # Sections of one page come in order, so that a title that occurs twice is not placed twice alike.
            match = _titled(title).search(texts[page], searched_to.get(page, 0))
            if match:
                searched_to[page] = match.end()
            found.append(Heading(starts[page] + (match.start() if match else 0), level, title))
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception:  # noqa: BLE001, S110 - bookmarks are a convenience; broken ones leave the text without headings
        pass
    return sorted(found, key=lambda heading: heading.start)


def _titled(title: str) -> re.Pattern[str]:
    return re.compile(r"\s+".join(map(re.escape, title.split())), re.IGNORECASE)


def _bookmarks(reader: PdfReader) -> Iterator[tuple[int, Any]]:
    """Walks the nested lists of bookmarks without recursion."""
    stack: list[Iterator[Any]] = [iter(reader.outline)]
    for _ in range(MAX_BOOKMARKS):
        while stack:
            item = next(stack[-1], None)
            if item is not None:
                break
            stack.pop()
        else:
            return
        if isinstance(item, list):
            stack.append(iter(item))
        else:
            yield len(stack), item
