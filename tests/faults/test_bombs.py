"""Files that unpack, refer or grow without end: refused within seconds, and their children stay small."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from qa_app.converters.cage import Converted, ConverterPool, Rejected, Result
from tests import make_bad
from tests.faults.seeds import bare_pdf, stream
from tests.faults.table import Figure
from tests.make_bad import paragraph, pdf_of_objects

WORDS = b"BT /F1 9 Tf (words) Tj ET "
CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"


class Cage:
    """A child of its own for each file, of which the most memory and the time are known afterwards."""

    def __init__(self, pool: ConverterPool, folder: Path) -> None:
        self._pool, self._folder = pool, folder

    def convert(self, data: bytes, name: str) -> Result:
        good, path = self._folder / "good.txt", self._folder / name
        good.write_text("good words")
        path.write_bytes(data)
        self._pool.convert([good])  # the child has started, and its parsers' imports are in its peak
        before = self._peak()
        began = time.monotonic()
        [result] = self._pool.convert([path])
        self.seconds = time.monotonic() - began
        self.megabytes = self._peak() - before
        return result

    @staticmethod
    def _peak() -> int:
        peaks = [0]
        for child in psutil.Process().children():
            lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
            peaks += [int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM")]
        return max(peaks)


@pytest.fixture
def cage(tmp_path: Path) -> Iterator[Cage]:
    with ConverterPool(1) as pool:
        yield Cage(pool, tmp_path)


def reason(result: Result) -> str:
    return result.reason if isinstance(result, Rejected) else "ok"


def _large() -> dict[str, str | bytes]:
    return {f"{number}.xml": make_bad.junk(32_000, number) * 90 for number in range(73)}


ARCHIVES = {
    "4 GB declared": lambda: make_bad.zip_bomb("word/document.xml", 4095),
    "10 GB undeclared": lambda: make_bad.lying_zip_bomb("word/document.xml", 10_240, 500),
    "one part under all names": lambda: make_bad.overlapping_zip(["word/document.xml", *map(str, range(250))]),
    "parts within parts": lambda: make_bad.quoting_zip(["word/document.xml", *map(str, range(250))]),
    "10,000 parts": lambda: make_bad.package({"word/document.xml": "", **{f"{n}.xml": "" for n in range(10_001)}}),
    "200 MB in sum": lambda: make_bad.package({"word/document.xml": "", **_large()}),
}


NAMES = ["bomb.docx", "bomb.xlsx", "bomb.pptx", "bomb.epub", "bomb.txt"]


@pytest.mark.case("F5")
@pytest.mark.parametrize(("number", "bomb"), list(enumerate(ARCHIVES)), ids=list(ARCHIVES))
def test_f5_archives(cage: Cage, number: int, bomb: str, long: bool, figure: Figure) -> None:
    """Archives of gigabytes are refused under every name before a byte too many is unpacked."""
    data, slowest = ARCHIVES[bomb](), 0.0
    for name in NAMES if long else [NAMES[number % len(NAMES)]]:
        assert reason(cage.convert(data, name)) == "archive_limit"
        assert cage.megabytes < 200
        assert cage.seconds < 20
        slowest = max(slowest, cage.seconds)
    figure(f"s at most, and {cage.megabytes} MB, to refuse {bomb}", round(slowest, 1))


def forms(doublings: int) -> bytes:
    """A page of a form that shows another form twice, and so on, so that words are shown 2 ** ``doublings`` times."""
    kind = (
        b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /Font << /F1 5 0 R >> /XObject << /X %d 0 R >> >>"
    )
    made = [stream(b"/X Do /X Do " + WORDS, kind % (number + 8)) for number in range(doublings)]
    resources = b"/Font << /F1 5 0 R >> /XObject << /X 7 0 R >>"
    return bare_pdf(b"/X Do " + WORDS, stream(b""), *made, stream(WORDS, kind % 5), resources=resources)


def packed(content: bytes, filters: bytes) -> bytes:
    """A page whose content has these filters."""
    return bare_pdf(b"").replace(stream(b""), stream(content, b"/Filter [" + filters + b"]"))


def font_map(content: bytes) -> bytes:
    return bare_pdf(WORDS, stream(b"begincmap " + content + b" endcmap"))


def fonts(entries: bytes) -> bytes:
    return bare_pdf(WORDS).replace(b"/BaseFont /Helvetica", b"/BaseFont /X " + entries)


def outlines(*items: bytes) -> bytes:
    """A PDF with bookmarks, the first of which is object 8."""
    root = b"<< /Type /Outlines /First 8 0 R /Last 8 0 R /Count 1 >>"
    return bare_pdf(WORDS, stream(b""), root, *items).replace(CATALOG, CATALOG[:-2] + b"/Outlines 7 0 R >>")


def _zeros(times: int) -> bytes:
    data = b" " * (300 * 2**20)
    for _ in range(times):
        data = zlib.compress(data, 9)
    return data


BOMBS = {
    "flate in flate in flate": lambda: packed(_zeros(3), b"/FlateDecode /FlateDecode /FlateDecode"),
    "run length": lambda: packed(b"\x81 " * 600_000, b"/RunLengthDecode"),
    "ascii of zeros": lambda: packed(b"z" * 10_000_000, b"/ASCII85Decode"),
    "lzw": lambda: packed(zlib.compress(b"\x80\x0b\x60\x50" * 400_000, 9), b"/FlateDecode /LZWDecode"),
    "wide rows": lambda: packed(
        zlib.compress(bytes(9_000)), b"/FlateDecode] /DecodeParms [<< /Predictor 15 /Columns 99999999999 >>"
    ),
    "forms in forms": lambda: forms(40),
    "a form of itself": lambda: forms(1).replace(b"/X 8 0 R", b"/X 7 0 R"),
    "a font map of four billion": lambda: font_map(b"1 beginbfrange <0000> <FFFFFFFF> <0041> endbfrange"),
    "a sign of megabytes": lambda: font_map(b"1 beginbfchar <77> <" + b"0041" * 500_000 + b"> endbfchar"),
    "widths of two billion": lambda: fonts(
        b"/Subtype /Type0 /DescendantFonts [<< /Type /Font /Subtype /CIDFontType2 /W [0 2000000000 500] >>]"
    ),
    "signs out of range": lambda: fonts(b"/Encoding << /Differences [-5 /a 99999999999999999999 /uni110000 /u1] >>"),
    "saved 300,000 times": lambda: bare_pdf(b"q " * 300_000 + WORDS),
    "arrays in arrays": lambda: bare_pdf(b"[" * 50_000 + WORDS),
    "a number of 100,000 digits": lambda: bare_pdf(b"BT /F1 9 Tf " + b"9" * 100_000 + b" 0 Td (a) Tj ET"),
    "bookmarks in a circle": lambda: outlines(b"<< /Title (a) /Parent 7 0 R /First 8 0 R /Next 8 0 R >>"),
    "bookmarks 5,000 deep": lambda: outlines(*(b"<< /Title (a) /First %d 0 R >>" % n for n in range(9, 5_009))),
    "tables in a circle": lambda: bare_pdf(WORDS).replace(b"/Root 1 0 R", b"/Root 1 0 R /Prev 9"),
    "a trillion objects": lambda: bare_pdf(WORDS).replace(b"/Size 6 /Root 1 0 R", b"/Size 999999999999"),
    "pages 5,000 deep": lambda: pdf_of_objects(
        [CATALOG, *(b"<< /Type /Pages /Kids [%d 0 R] /Count 1 >>" % number for number in range(3, 5_003))]
    ),
    "a length of itself": lambda: bare_pdf(WORDS).replace(b"/Length 26", b"/Length 4 0 R"),
    "the same object 100,000 times": lambda: b"%PDF-1.5\n" + b"1 0 obj\n<<>>\nendobj\n" * 100_000,
}


#: Those that every run meets, one of each kind: filters, forms, font maps, nesting, bookmarks, tables, and references.
OFTEN = {
    "flate in flate in flate",
    "forms in forms",
    "a font map of four billion",
    "arrays in arrays",
    "bookmarks in a circle",
    "tables in a circle",
    "a length of itself",
}


@pytest.mark.case("F6")
@pytest.mark.parametrize("bomb", [pytest.param(b, marks=() if b in OFTEN else pytest.mark.long) for b in BOMBS])
def test_f6_pdf(cage: Cage, bomb: str, figure: Figure) -> None:
    """PDF files made to unpack, count or refer for ever end by a limit in seconds, with what text they have or none."""
    result = cage.convert(BOMBS[bomb](), "bomb.pdf")
    figure(f"s for {bomb}", round(cage.seconds, 1))
    assert reason(result) in {"ok", "archive_limit", "corrupt", "no_text", "too_deep", "too_large", "memory"}
    assert not isinstance(result, Converted) or len(result.extraction.text) < 1_000_000
    assert cage.megabytes < 1024
    assert cage.seconds < 55


@pytest.mark.case("F5", "F6")
@pytest.mark.parametrize(
    ("data", "name"),
    [
        (make_bad.word("".join(f"<w:p>{paragraph(str(number))}</w:p>" for number in range(300_000))), "a.docx"),
        (b"<html>" + b"<p>a" * 3_000_000, "a.html"),
        (b"a\n\n" * 1_000_000, "a.md"),
        (b"a\f" * 9_000_000, "a.txt"),
        (bare_pdf(b"BT /F1 9 Tf " + b"(a) Tj " * 1_500_000), "a.pdf"),
    ],
    ids=["docx", "html", "md", "txt", "pdf"],
)
def test_more_memory_than_the_limit(tmp_path: Path, data: bytes, name: str) -> None:
    """A file for which the limit is too small is refused for just that, whatever its parser says then."""
    path, good = tmp_path / name, tmp_path / "good.txt"
    path.write_bytes(data)
    good.write_text("good words")
    with ConverterPool(1, memory_mb=130) as pool:
        result, after = pool.convert([path, good])
    assert reason(result) == "memory"
    assert isinstance(after, Converted)
