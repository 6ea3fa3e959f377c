"""Files made to break whoever reads them, through the same child processes that real files go through."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qa_app.converters.cage import Converted, ConverterPool, Rejected, Result
from tests import make_bad
from tests.faults.seeds import SEEDS
from tests.faults.table import Figure
from tests.make_bad import paragraph, pdf_of_objects

_SAMPLES: dict[str, bytes] = {
    "a.txt": "Plain words – with accents é and 😀.\n".encode() * 20,
    "a.md": b"---\ntitle: Tea\n---\n# Tea\n\n- *green*\n- [black](x)\n\n| a | b |\n|---|---|\n| c | d |\n" * 3,
    "a.html": b"<html><head><title>T</title></head><body><h1>T</h1><table><tr><td>a<td>b</table><p>words &eacute;" * 3,
    "a.pdf": make_bad.pdf(["page one\nwith words", "page two"], bookmarks=[("page two", 1)], title="T"),
    "a.docx": make_bad.word(paragraph("words") + f"<w:tbl><w:tr><w:tc>{paragraph('a')}</w:tc></w:tr></w:tbl>"),
}
_CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"
_PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /Font << >> >> >>"


@pytest.fixture(scope="module")
def pool() -> Iterator[ConverterPool]:
    with ConverterPool(2, timeout=60) as pool:
        yield pool


@pytest.fixture
def convert(pool: ConverterPool, tmp_path: Path) -> Callable[[bytes, str], Result]:
    """Converts one file of that content and name, and shows that a good file after it still converts."""

    def convert(data: bytes, name: str) -> Result:
        path, good = tmp_path / name, tmp_path / "good after it.txt"
        path.write_bytes(data)
        good.write_text("good words")
        result, after = pool.convert([path, good])
        assert isinstance(after, Converted)
        assert after.extraction.text == "good words"
        return result

    return convert


def _outcome(result: Result) -> str:
    return result.reason if isinstance(result, Rejected) else "ok"


Convert = Callable[[bytes, str], Result]


@pytest.mark.case("F1")
@pytest.mark.parametrize("name", _SAMPLES)
def test_f1_no_bytes(convert: Convert, name: str) -> None:
    """A file of no bytes is rejected as empty under every name."""
    assert _outcome(convert(b"", name)) == "empty_file"


@pytest.mark.case("F2")
def test_f2_no_text(convert: Convert) -> None:
    """Blanks and PDFs without a text layer are rejected, the latter with a hint at OCR."""
    assert _outcome(convert(b" \n\t\f\n", "a.txt")) == "no_text"
    assert _outcome(convert(b"<html><body><script>words()</script>", "a.html")) == "no_text"
    assert _outcome(convert(make_bad.word(paragraph(" ")), "a.docx")) == "no_text"
    scanned = convert(make_bad.pdf(["", ""]), "a.pdf")
    assert isinstance(scanned, Rejected)
    assert scanned.reason == "no_text"
    assert "OCR" in scanned.message


@pytest.mark.case("F3")
@pytest.mark.parametrize("suffix", ["pdf", "docx"])
def test_f3_cut_off_at_every_percent(
    pool: ConverterPool, tmp_path: Path, suffix: str, long: bool, figure: Figure
) -> None:
    """A file cut off anywhere is rejected as damaged, or its text is marked as partial; it is never taken as whole."""
    paths = []
    for number, data in enumerate(SEEDS[suffix]):
        for percent in range(1, 100, 1 if long else 5):
            paths.append(tmp_path / f"{number}-{percent}.{suffix}")
            paths[-1].write_bytes(data[: len(data) * percent // 100])
    for result in pool.convert(paths):
        if isinstance(result, Converted) and result.extraction.media_type != "text/plain":
            assert result.extraction.meta["partial"] is True
        elif isinstance(result, Rejected):
            assert result.reason in {"corrupt", "no_text", "unsupported_type"}
        else:
            # What is left is shorter than the mark that tells what it was.
            assert result.size < 8
    figure(f"{suffix} files cut off", len(paths))


@pytest.mark.case("F4")
def test_f4_encrypted_pdf(convert: Convert) -> None:
    """A PDF with a password is rejected as encrypted; one with an empty password is read."""
    assert _outcome(convert(make_bad.encrypted_pdf("Secret", "pw"), "a.pdf")) == "encrypted"
    assert _outcome(convert(make_bad.encrypted_pdf("Open", ""), "b.pdf")) == "ok"


@pytest.mark.case("F5")
def test_f5_nested_archives_are_never_opened(convert: Convert) -> None:
    """A bomb inside a good Word file stays packed."""
    bomb = make_bad.lying_zip_bomb("x", 500, 500)
    assert _outcome(convert(make_bad.word(paragraph("words"), word__bomb__zip=bomb), "a.docx")) == "ok"


@pytest.mark.case("F6")
@pytest.mark.parametrize(
    ("data", "reasons"),
    [
        (make_bad.flate_bomb_pdf(500), {"archive_limit"}),
        (pdf_of_objects([_CATALOG, b"<< /Type /Pages /Kids [" + b"3 0 R " * 100_000 + b"] >>", _PAGE]), {"too_large"}),
        (pdf_of_objects([_CATALOG, b"<< /Type /Pages /Kids [2 0 R] /Count 1 >>"]), {"corrupt"}),
        (pdf_of_objects([_CATALOG, b"2 0 R"]), {"corrupt", "too_deep"}),
        (
            pdf_of_objects([_CATALOG, b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>", _PAGE, b"[4 0 R 4 0 R]"]),
            {"corrupt", "no_text", "too_deep"},
        ),
        (
            pdf_of_objects([_CATALOG[:-2] + b"/X " + b"[" * 50_000 + b"]" * 50_000 + b" >>", b"<< /Type /Pages >>"]),
            {"corrupt", "too_deep"},
        ),
    ],
    ids=["flate bomb", "100k pages", "page tree in a circle", "object of itself", "contents in a circle", "50k arrays"],
)
def test_f6_pdf_that_never_ends(convert: Convert, data: bytes, reasons: set[str]) -> None:
    """Bombs, circles and endless nesting inside a PDF are rejected by a limit, not by the clock."""
    assert _outcome(convert(data, "a.pdf")) in reasons


@pytest.mark.case("F8")
def test_f8_a_font_map_outside_of_the_file_is_not_loaded(convert: Convert, tmp_path: Path) -> None:
    """A PDF that names a character map by path makes nobody open, let alone unpickle, what lies there."""
    canary = tmp_path / "canary"
    trap = tmp_path / "trap.pickle.gz"
    trap.write_bytes(b"cos\nsystem\n(Vtouch " + str(canary).encode() + b"\ntR.")
    os.utime(trap, (0, 0))
    name = "".join(f"#{byte:02x}" for byte in str(trap.with_suffix("").with_suffix("")).encode())
    font = f"<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /{name} /ToUnicode /{name} >>".encode()
    page = _PAGE.replace(b"/Font << >>", b"/Font << /F1 5 0 R >>")
    content = b"BT /F1 9 Tf (words) Tj ET"
    stream = b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content)
    data = pdf_of_objects([_CATALOG, b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>", page, stream, font])
    assert _outcome(convert(data, "a.pdf")) in {"ok", "corrupt", "no_text"}
    assert not canary.exists()


@pytest.mark.case("F9")
@pytest.mark.parametrize(
    ("data", "name", "outcome"),
    [
        (b"MZ\x90\0" + bytes(500), "a.pdf", "unsupported_type"),
        (b"\x7fELF" + bytes(500), "a.docx", "unsupported_type"),
        (_SAMPLES["a.pdf"], "a.txt", "application/pdf"),
        (_SAMPLES["a.html"], "a.docx", "text/html"),
        (_SAMPLES["a.txt"], "a.pdf", "text/plain"),
    ],
)
def test_f9_names_that_lie(convert: Convert, data: bytes, name: str, outcome: str) -> None:
    """A file is treated as what it contains, whatever its name says."""
    result = convert(data, name)
    found = result.reason if isinstance(result, Rejected) else result.extraction.media_type
    assert found == outcome


@pytest.mark.case("F13")
def test_f13_nested_a_hundred_thousand_deep(convert: Convert) -> None:
    """Endless nesting is rejected where it means something, and is text where it does not."""
    assert _outcome(convert(b"<html>" + b"<div>" * 100_000 + b"words", "a.html")) == "too_deep"
    assert _outcome(convert(b">" * 100_000 + b" words", "a.md")) == "too_deep"
    assert _outcome(convert(make_bad.word("<w:sdt>" * 5_000 + "</w:sdt>" * 5_000), "a.docx")) == "too_deep"
    assert _outcome(convert(b"---\na: " + b"[" * 100_000 + b"\n---\nwords", "b.md")) == "ok"
    assert _outcome(convert(b"[" * 100_000, "a.json")) == "unsupported_type"


@pytest.mark.case("F14")
@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        ("Größe".encode("utf-8-sig"), "Größe", "utf-8-sig"),
        ("Größe und mehr".encode("utf-16-le"), "Größe und mehr", "utf-16-le"),
        ("Größe und mehr".encode("utf-16-be"), "Größe und mehr", "utf-16-be"),
        ("Größe und Übermut".encode("cp1252"), "Größe und Übermut", "cp1252"),
        ("日本語のテキスト。".encode("cp932"), "日本語のテキスト。", "cp932"),
        ("Zürich, Köln – größer. ".encode() + b"Caf\xe9", "Zürich, Köln – größer. Café", "utf-8+cp1252"),
    ],
)
def test_f14_encodings(convert: Convert, data: bytes, text: str, encoding: str) -> None:
    """Each encoding is recognised and recorded, and no byte is dropped without a trace."""
    result = convert(data, "a.txt")
    assert isinstance(result, Converted)
    assert (result.extraction.text, result.extraction.encoding) == (text, encoding)


@pytest.mark.case("F14")
def test_f14_overlong_utf8(convert: Convert) -> None:
    """The forbidden long form of a slash is read as other characters, in an encoding that is not UTF-8."""
    result = convert(b"..\xc0\xaf..\xc0\xafetc", "a.txt")
    assert isinstance(result, Converted)
    assert "/" not in result.extraction.text
    assert result.extraction.encoding != "utf-8"


@pytest.mark.case("F15")
def test_f15_controls_and_surrogates(convert: Convert) -> None:
    """Zero bytes and control characters go, words and offsets around them stay; half characters are refused."""
    result = convert(b"one\0 two\x07\x08 three\x1f\n\nHead\0ing\n=======\n", "a.txt")
    assert isinstance(result, Converted)
    assert result.extraction.text == "one two three\n\nHeading\n=======\n"
    [heading] = result.extraction.headings
    assert result.extraction.text.startswith("Heading", heading.start)
    assert _outcome(convert("a \ud800 b".encode("utf-8", "surrogatepass"), "b.txt")) == "encoding"
    assert _outcome(convert("a \ud800 b".encode("utf-16", "surrogatepass"), "c.txt")) == "encoding"


@pytest.mark.case("F18")
@pytest.mark.parametrize(
    "name",
    ["-rf.txt", "CON.txt", "a\nb.txt", "..\\x.txt", "C:x.txt", "<img src=x>.txt", "%2e%2e.txt", "é" * 120 + ".txt"],
)
def test_f18_strange_names(convert: Convert, name: str) -> None:
    """A strange but valid name is a name like any other, and nothing is created beside the file."""
    result = convert(b"words", name)
    assert isinstance(result, Converted)
    assert {path.name for path in result.path.parent.iterdir()} == {name, "good after it.txt"}


@pytest.mark.case("F18")
def test_f18_names_that_are_no_names(pool: ConverterPool, tmp_path: Path) -> None:
    """Names with a zero byte, of 300 characters, or in no encoding are rejected for their name."""
    undecodable = tmp_path / os.fsdecode(b"caf\xe9.txt")
    undecodable.write_text("words")
    results = pool.convert([tmp_path / "a\0b", tmp_path / ("x" * 300), undecodable])
    assert list(map(_outcome, results)) == ["name", "name", "name"]


@pytest.mark.case("F23")
def test_f23_files_that_change_or_vanish(pool: ConverterPool, tmp_path: Path) -> None:
    """While a file is rewritten over and over, what is converted is one of its versions whole, or it is rejected."""
    path = tmp_path / "a.txt"
    versions = {f"{letter} " * 400_000 for letter in "ab"}
    path.write_text(min(versions))
    stop = threading.Event()

    def rewrite() -> None:
        while not stop.is_set():
            for version in versions:
                path.write_text(version)
        path.unlink()

    thread = threading.Thread(target=rewrite)
    thread.start()
    outcomes = [result for _ in range(30) for result in pool.convert([path])]
    stop.set()
    thread.join()
    for result in outcomes:
        if isinstance(result, Converted):
            assert result.extraction.text in versions or result.size < 800_000
            assert result.size == len(result.extraction.text)
        else:
            assert result.reason in {"changed", "empty_file"}
    assert list(map(_outcome, pool.convert([path]))) == ["vanished"]


@pytest.mark.case("F24")
@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html"])
def test_f24_one_word_of_three_megabytes(convert: Convert, name: str) -> None:
    """A single endless word is converted whole."""
    result = convert(b"x" * 3_000_000, name)
    assert isinstance(result, Converted)
    assert len(result.extraction.text) == 3_000_000
