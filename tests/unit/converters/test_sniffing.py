from __future__ import annotations

import subprocess
import sys

import pytest

from qa_app.converters.registry import FORMATS
from qa_app.converters.sniffing import sniff
from qa_app.errors import FileRejectedError
from tests import make_bad

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)


@pytest.mark.case("F9")
@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (make_bad.pdf(["x"]), "a.txt", "pdf"),
        (b"junk before\n" + make_bad.pdf(["x"]), "a", "pdf"),
        (b"A text that mentions %PDF-1.4 early on.", "a.pdf", "text"),
        (make_bad.word(make_bad.paragraph("x")), "a.pdf", "docx"),
        (make_bad.package({"word/document2.xml": "<w/>"}), "a.docx", "docx"),
        (b"<!DOCTYPE html><p>x", "a.docx", "html"),
        (b"\xef\xbb\xbf\n<!-- made -->\n<HTML lang=en>", "a.txt", "html"),
        ("\ufeff<html><body>x".encode("utf-16"), "a.txt", "html"),
        (b"<p>A fragment</p>", "a.html", "html"),
        (b"<p>A fragment</p>", "a.txt", "text"),
        (b"No tag: 1 < 2 > 0", "a.html", "text"),
        (b"# Title\n\n<html> is a tag", "a.md", "markdown"),
        (b"# Title", "A.MARKDOWN", "markdown"),
        (b"# Title", "a.txt", "text"),
        (b"<!-- note -->\n" * 200 + b"words", "a.txt", "text"),
        (b"<!-- note -->\n" * 200 + b"<html>words", "a.txt", "html"),
        (b"About %PDF-1.4: " + b"1" * 500_000, "a.txt", "text"),
        (b"MZ is how a program begins", "a", "text"),
        ("Größe".encode("utf-16-le"), "a.bin", "text"),
        (b"zero\0 byte", "a.txt", "text"),
        (b"\x1b[31mred\x1b[0m log line\n" * 20, "a.log", "text"),
    ],
)
def test_content_decides(data: bytes, name: str, expected: str) -> None:
    """Files are what they contain; the name decides only between kinds of text."""
    assert sniff(data, name) is FORMATS[expected]


@pytest.mark.case("F9")
@pytest.mark.parametrize(
    ("data", "reason", "named"),
    [
        (b"MZ\x90\0\x03\0\0\0" + bytes(200), "unsupported_type", "Windows program"),
        (b"\x7fELF\x02\x01\x01", "unsupported_type", "a program"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "unsupported_type", "PNG"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "unsupported_type", "JPEG"),
        (b"GIF89a" + bytes(20), "unsupported_type", "GIF"),
        (b"\x1f\x8b\x08\0" + bytes(20), "unsupported_type", "gzip"),
        (b"RIFF\0\0\0\0WEBP", "unsupported_type", "image"),
        (b"\0\0\0\x20ftypisom", "unsupported_type", "video"),
        (make_bad.package({"xl/workbook.xml": "<w/>"}), "unsupported_type", "Excel"),
        (make_bad.package({"META-INF/container.xml": "<w/>"}), "unsupported_type", "EPUB"),
        (make_bad.package({"a.txt": "x"}), "unsupported_type", "ZIP"),
        (_OLE, "unsupported_type", "password"),
        (_OLE + "EncryptedPackage".encode("utf-16-le"), "encrypted", "password"),
        (make_bad.junk(100_000, 1), "unsupported_type", "binary"),
        (bytes(1000), "unsupported_type", "binary"),
    ],
)
def test_what_is_no_text_is_refused_by_its_name(data: bytes, reason: str, named: str) -> None:
    """Whatever the file is called, the message says what it is and which formats are taken."""
    with pytest.raises(FileRejectedError) as caught:
        sniff(data, "innocent.pdf")
    assert caught.value.reason == reason
    assert named in caught.value.message
    assert reason == "encrypted" or "are taken" in caught.value.message


def test_the_modules_of_the_child_load_nothing_heavy() -> None:
    """No format, nor what the child needs besides, imports Haystack, torch or the HTTP stack."""
    modules = [*(taken.module for taken in FORMATS.values()), "qa_app.converters.dispatch", "qa_app.converters.worker"]
    script = (
        f"import sys, importlib\nfor name in {modules!r}: importlib.import_module(name)\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'haystack', 'torch', 'transformers', 'numpy', 'pandas', 'requests', 'httpx', 'elasticsearch'}))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "data"), [("a.json", b'{"a": 1}'), ("a.jsonl", b"[1]\n[2]"), ("a.xml", b"<?xml version='1.0'?><a/>")]
)
def test_data_files_are_not_text(name: str, data: bytes) -> None:
    """JSON and XML are named as what they are; a text of that name that is none is still text."""
    with pytest.raises(FileRejectedError) as caught:
        sniff(data, name)
    assert caught.value.reason == "unsupported_type"
    assert sniff(b"Once upon a time", name).name == "text"
