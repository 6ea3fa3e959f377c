"""Recognises a file's format by its content; the name decides only between kinds of text."""

from __future__ import annotations

import re

from qa_app.converters.archives import Archive, word_document
from qa_app.converters.decoding import marked_encoding, zero_byte_encoding
from qa_app.converters.registry import DOCX, HTML, MARKDOWN, PDF, TEXT, Format
from qa_app.errors import FileRejectedError

TAKEN = "text, Markdown, HTML, PDF and Word (.docx) files are taken"

# Readers of PDF accept that much of anything before the header.
_PDF_HEADER_WITHIN = 1024
_HEAD = 65536

_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"\x7fELF", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\0asm", "a program"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"SQLite format 3\0", "a SQLite database"),
    (b"OggS\0", "an Ogg recording"),
    (b"fLaC\0", "a FLAC recording"),
    (b"wOFF", "a font"),
    (b"%!PS-Adobe", "a PostScript program; convert it to PDF"),
    (b"{\\rtf", "a rich text file; save it as .docx"),
)
#: Text by its bytes, but nothing a reader could find sentences in.
_DATA_SUFFIXES = (".json", ".jsonl", ".geojson", ".ipynb", ".xml", ".svg", ".rss")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# How that container spells the name of the stream an encrypted Office file is kept in.
_OLE_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")

#: Folders in a ZIP container that tell what it is.
_PACKED_KINDS = {
    "xl": "an Excel workbook",
    "ppt": "a PowerPoint presentation",
    "META-INF": "a Java, EPUB or OpenDocument file",
}

# Escape is not among them: it marks colours in logs and character sets in Japanese mail.
_CONTROLS = bytes({*range(0x20), 0x7F} - set(b"\t\n\v\f\r\x1b"))

# A comment ends at its first mark and a number is looked at from its last digit, for else a text of comments, or of
# digits, is tried in exponentially, or quadratically, many ways.
_HTML_START = re.compile(
    r"(?:\s|<\?xml[^>]{0,200}\?>|<!--(?:(?!-->).){0,2000}-->)*<(?:!doctype\s+html|(?:html|head|body)[\s>])",
    re.IGNORECASE | re.DOTALL,
)
_PDF_OBJECT = re.compile(rb"\d\s+\d+\s+obj\b")
_TAG = re.compile(r"<(?:!doctype|[a-z][a-z0-9]*)(?:\s[^<>]*)?/?>", re.IGNORECASE)


def sniff(data: bytes, name: str) -> Format:
    """Gives the format of ``data``.

    Raises :class:`FileRejectedError`: ``unsupported_type`` naming what the file is, ``encrypted`` for Office files with
    a password, and for ZIP containers what :class:`Archive` raises.
    """
    if _is_pdf(data):
        return PDF
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _packed(data)
    if data.startswith(_OLE):
        if _OLE_ENCRYPTED in data:
            raise FileRejectedError("encrypted", "this Office file needs a password; save it without one")
        raise FileRejectedError(
            "unsupported_type",
            f"this is an old Office file (.doc, .xls, .ppt) or one with a password; save it as .docx; {TAKEN}",
        )
    kind = _kind(data)
    if kind is not None:
        raise FileRejectedError("unsupported_type", f"this is {kind}; {TAKEN}")
    return _text_format(data, name.lower())


def _is_pdf(data: bytes) -> bool:
    at = data.find(b"%PDF-", 0, _PDF_HEADER_WITHIN)
    if at < 0:
        return False
    # A text may well mention the header; a PDF with something before it still consists of objects.
    return not data[:at].strip(b"\xef\xbb\xbf\0 \t\r\n") or _PDF_OBJECT.search(data) is not None


def _packed(data: bytes) -> Format:
    names = Archive(data).names
    if word_document(names):
        return DOCX
    first = {name.partition("/")[0] for name in names}
    kind = next((what for folder, what in _PACKED_KINDS.items() if folder in first), "a ZIP archive")
    raise FileRejectedError("unsupported_type", f"this is {kind}; {TAKEN}")


def _kind(data: bytes) -> str | None:
    for magic, what in _KINDS:
        if data.startswith(magic):
            return what
    if data.startswith(b"MZ") and b"\0" in data[:128]:
        return "a Windows program"
    if data.startswith(b"RIFF") and data[8:12] in {b"WEBP", b"WAVE", b"AVI "}:
        return "an image, recording or video"
    if data[4:8] == b"ftyp":
        return "a video or recording"
    return "no text but binary data" if _binary(data) else None


def _binary(data: bytes) -> bool:
    if marked_encoding(data) or zero_byte_encoding(data):
        return False
    sample = data[:_HEAD]
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    try:
        # The sample may end within a character.
        sample[:-3].decode("utf-8")
    except UnicodeDecodeError as error:
        # No legacy encoding of text uses control characters at all; a stray one may still have been pasted.
        if error.start < len(sample) - 7:
            return controls > 2 + len(sample) // 200
    return controls > 8 + len(sample) // 10


def _text_format(data: bytes, name: str) -> Format:
    head = (
        data[:_HEAD].decode(marked_encoding(data) or zero_byte_encoding(data) or "latin-1", "ignore").lstrip("\ufeff")
    )
    if _HTML_START.match(head):
        return HTML
    if name.endswith(HTML.suffixes) and _TAG.search(head):
        return HTML
    if name.endswith(_DATA_SUFFIXES) and head.lstrip()[:1] in {"{", "[", "<"}:
        raise FileRejectedError("unsupported_type", f"this is data (JSON or XML), not text to be read; {TAKEN}")
    return MARKDOWN if name.endswith(MARKDOWN.suffixes) else TEXT
