"""Content that asks whoever reads it to fetch, open, write or run something; nothing of that happens."""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qa_app.converters.cage import Converted, ConverterPool, Rejected, Result
from tests import make_bad
from tests.faults.seeds import bare_pdf, stream
from tests.faults.table import Figure
from tests.make_bad import WORD_NAMESPACE, paragraph

#: What is counted for the table.
TRIED = "files tried"
#: Every part of a Word file that is read.
PARTS = ["word/document.xml", "word/styles.xml", "word/footnotes.xml", "word/endnotes.xml", "docProps/core.xml"]


@pytest.fixture(scope="module")
def pool() -> Iterator[ConverterPool]:
    with ConverterPool(1) as pool:
        yield pool


@pytest.fixture
def convert(pool: ConverterPool, tmp_path: Path) -> Callable[[bytes | str, str], Result]:
    """Converts one file of that content and name, beside which nothing may appear."""
    folder = tmp_path / "papers"
    folder.mkdir()

    def convert(data: bytes | str, name: str) -> Result:
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
        before = sorted(tmp_path.rglob("*"))
        [result] = pool.convert([folder / name])
        assert sorted(tmp_path.rglob("*")) == before
        return result

    return convert


Convert = Callable[[bytes | str, str], Result]


@pytest.fixture
def listener() -> Iterator[int]:
    """The port of a listener on this machine, which nobody may have called at the end."""
    calls: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return
                calls.append("called")

        thread = threading.Thread(target=listen)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert calls == []


def declarations(secret: Path, port: int) -> dict[str, str]:
    """Document types, by what they would do: each makes ``&x;`` something, or fetches when it is parsed."""
    laughs = "".join(f'<!ENTITY l{level} "{f"&l{level - 1};" * 10}">' for level in range(1, 10))
    return {
        "laughs": f'<!DOCTYPE d [<!ENTITY l0 "lol">{laughs}<!ENTITY x "&l9;">]>',
        "quadratic": f'<!DOCTYPE d [<!ENTITY x "{"a" * 100_000}">]>',
        "file": f'<!DOCTYPE d [<!ENTITY x SYSTEM "{secret.as_uri()}">]>',
        "network": f'<!DOCTYPE d [<!ENTITY x SYSTEM "http://127.0.0.1:{port}/x">]>',
        "parameter": f'<!DOCTYPE d [<!ENTITY % p SYSTEM "http://127.0.0.1:{port}/p">%p;<!ENTITY x "y">]>',
        "outside": f'<!DOCTYPE d SYSTEM "http://127.0.0.1:{port}/d.dtd"[<!ENTITY x "y">]>',
        "public": f'<!DOCTYPE d PUBLIC "-//X//Y" "{secret.as_uri()}"[<!ENTITY x "y">]>',
    }


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("s3cret words")
    return path


@pytest.mark.case("F7")
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("part", PARTS)
def test_f7_in_every_part_of_word_files(
    convert: Convert, secret: Path, listener: int, part: str, codec: str, tally: Figure
) -> None:
    """No part of a Word file may declare anything, in any encoding that Office writes."""
    for declaration in declarations(secret, listener).values():
        element = f'<w:d xmlns:w="{WORD_NAMESPACE}"><title>&x;</title>{paragraph("&x;")}</w:d>'
        parts: dict[str, str | bytes] = {"word/document.xml": f'<w:d xmlns:w="{WORD_NAMESPACE}">{paragraph("w")}</w:d>'}
        parts[part] = (declaration + element).encode(codec)
        result = convert(make_bad.package(parts), "a.docx")
        assert isinstance(result, Rejected)
        assert result.reason == "forbidden_content"
        tally(TRIED, 1)


@pytest.mark.case("F7")
@pytest.mark.parametrize(
    "name", ["a.html", "a.xhtml", "a.md", "a.txt", "a.svg", "a.xml", "a.opf", "a.rss", "a.fodt", "a.docx", "a.pdf"]
)
@pytest.mark.parametrize("root", ["html", "svg", "package", "x:feed"])
def test_f7_in_bare_markup(convert: Convert, secret: Path, listener: int, name: str, root: str, tally: Figure) -> None:
    """Markup of any kind under any name is refused, or is text in which no entity has become anything."""
    include = f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{secret.as_uri()}" parse="text"/>'
    address = f"http://127.0.0.1:{listener}/style.css"
    links = f'<?xml-stylesheet href="{address}"?><link rel="stylesheet" href="{address}"><iframe src="{address}">'
    for declaration in declarations(secret, listener).values():
        page = f'<?xml version="1.0"?>{declaration}<{root}>{links}words &x; {include}</{root}>'
        result = convert(page, name)
        tally(TRIED, 1)
        if isinstance(result, Converted):
            assert "s3cret" not in result.extraction.text
            assert result.extraction.text.count("lol") < 200
            assert len(result.extraction.text) < 2 * len(page)
        else:
            assert result.reason in {"unsupported_type", "no_text"}


@pytest.mark.case("F7", "F9")
@pytest.mark.parametrize(
    ("name", "member", "kind"),
    [
        ("a.epub", "META-INF/container.xml", "EPUB"),
        ("a.odt", "META-INF/manifest.xml", "OpenDocument"),
        ("a.xlsx", "xl/workbook.xml", "Excel"),
        ("a.pptx", "ppt/presentation.xml", "PowerPoint"),
        ("a.jar", "META-INF/MANIFEST.MF", "Java"),
    ],
)
def test_f7_packages_of_other_kinds_stay_packed(
    convert: Convert, secret: Path, listener: int, name: str, member: str, kind: str, tally: Figure
) -> None:
    """Of packages that are not taken no part is parsed; they are refused by what they are, under any name."""
    for declaration in declarations(secret, listener).values():
        for given in (name, "a.docx"):
            result = convert(make_bad.package({member: f"{declaration}<d>&x;</d>"}), given)
            assert isinstance(result, Rejected)
            assert result.reason == "unsupported_type"
            assert kind in result.message
            tally(TRIED, 1)


@pytest.mark.case("F7")
def test_f7_what_pdf_files_carry(convert: Convert, secret: Path, listener: int, tally: Figure) -> None:
    """XML in a PDF file, scripts, links, launches and files of elsewhere are passed over."""
    xml = declarations(secret, listener)["file"].encode() + b"<x>&x;</x>"
    address = f"http://127.0.0.1:{listener}/x".encode()
    data = bare_pdf(
        b"BT /F1 9 Tf (words) Tj ET",
        stream(b""),
        stream(xml, b"/Type /Metadata /Subtype /XML"),
        b"<< /S /Launch /F (%s) >>" % bytes(secret),
        b"<< /S /JavaScript /JS (app.launchURL\\('%s'\\)) >>" % address,
        stream(b"", b"/F << /FS /URL /F (%s) >>" % address),
        page=b"/AA << /O 8 0 R /C 9 0 R >>",
    )
    root = b"<< /Type /Catalog /Pages 2 0 R"
    more = b" /Metadata 7 0 R /OpenAction 9 0 R /AcroForm << /XFA [(x) 7 0 R] /Fields [10 0 R] >> /URI << /Base (%s) >>"
    result = convert(data.replace(root, root + more % address), "a.pdf")
    assert isinstance(result, Converted)
    assert result.extraction.text == "words"
    tally(TRIED, 1)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.canary,)


@pytest.mark.case("F8", "F9")
@pytest.mark.parametrize(
    "name", ["a.pkl", "a.txt", "a.md", "a.html", "a.pdf", "a.docx", "a.pickle.gz", "pytorch_model.bin"]
)
def test_f8_pickles_are_never_opened(convert: Convert, tmp_path: Path, name: str, tally: Figure) -> None:
    """Pickles of every protocol, bare or within a Word or PDF file, are refused or are text, and never run."""
    canary = tmp_path / "canary"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        trap = pickle.dumps(Trap(canary), protocol)
        for data in (
            trap,
            make_bad.package({"archive/data.pkl": trap, "word/document.xml": trap}),
            b"%PDF-1.4\n" + trap,
            bare_pdf(b"BT /F1 9 Tf (words) Tj ET", stream(trap), trap),
        ):
            result = convert(data, name)
            assert isinstance(result, Converted) or result.reason in {"unsupported_type", "corrupt", "no_text"}
            tally(TRIED, 1)
    assert not canary.exists()
    pickle.loads(trap)
    assert canary.exists(), "the trap would not have caught anybody"


@pytest.mark.case("F18")
@pytest.mark.parametrize(
    "name", ["../../evil.xml", "/tmp/evil.xml", "..\\evil.xml", "C:\\evil.xml", "word/../../evil", "a" * 60_000]
)
def test_f18_names_within_a_file(convert: Convert, name: str) -> None:
    """Parts of a Word file that are named like places elsewhere are written nowhere, and cost it no word."""
    result = convert(make_bad.word(paragraph("words"), **{name.replace("/", "__", 1): "<x/>"}), "a.docx")
    assert isinstance(result, Converted)
    assert result.extraction.text == "words"
