"""Pages of PDF files: drawn within limits, and words marked where they stand, or not at all."""

from __future__ import annotations

import io
import random
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

import pypdfium2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops

from qa_app.converters import page_images
from qa_app.converters.page_drawing import MAX_HEIGHT, align, boxes_of
from qa_app.converters.page_images import Located, PageSpan, draw, locate
from qa_app.converters.pdf import extract
from qa_app.errors import FileRejectedError, OverloadedError
from tests import make_bad
from tests.conftest import REPOSITORY

SAMPLES = sorted((REPOSITORY / "samples").rglob("*.pdf"))
Placed = Sequence[tuple[str, int, int]]


def page_of(content: str, *, media: str = "0 0 612 792", more: str = "", unicode: Sequence[str] = ()) -> bytes:
    """A PDF of one page in Helvetica; ``unicode`` are the meanings of its letters from A on, in UTF-16 as hex."""
    mapping = " ".join(f"<{ord('A') + n:02X}> <{code}>" for n, code in enumerate(unicode))
    table = (
        f"begincmap 1 begincodespacerange <00> <FF> endcodespacerange {len(unicode)} beginbfchar {mapping} endbfchar"
    )
    to_unicode = "/ToUnicode 6 0 R" if unicode else ""
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
        f"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding {to_unicode} >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [{media}] {more} /Contents 5 0 R "
        "/Resources << /Font << /F1 3 0 R >> >> >>",
        f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        f"<< /Length {len(table) + 8} >>\nstream\n{table} endcmap\nendstream",
    ]
    return make_bad.pdf_of_objects([each.encode("latin-1") for each in objects])


def lines(*given: str, x: int = 72, y: int = 720) -> str:
    """Lines of text, 14 points apart."""
    return f" BT /F1 11 Tf 14 TL {x} {y} Td " + " ".join(f"({line}) Tj T*" for line in given) + " ET "


def placed(words: Placed) -> str:
    """Words, each at its own place."""
    return "".join(lines(word, x=x, y=y) for word, x, y in words)


def located(pdf: bytes, start: int, end: int) -> Located:
    """Where words of a PDF of one page stand."""
    return locate(pdf, [PageSpan(1, extract(pdf).text, start, end)])


def picture(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def ink(drawn: Image.Image) -> tuple[int, int, int, int]:
    """The edges of what is dark."""
    found = drawn.convert("L").point(lambda light: 255 * (light < 128)).getbbox()
    assert found is not None
    return found


def folded(text: str) -> str:
    return "".join(text.split())


def test_what_is_boxed_in_the_samples_is_the_words_asked_for() -> None:
    """Of random stretches of every page of the samples, all are boxed, a box a line, with these words and no others."""
    chance = random.Random(5)
    asked = 0
    for path in SAMPLES:
        pdf = path.read_bytes()
        extraction, document = extract(pdf), pypdfium2.PdfDocument(pdf)
        for number, begin in enumerate(extraction.page_starts):
            text = extraction.text[begin : (*extraction.page_starts, None)[number + 1]]
            page = document[number]
            seen, (across, down) = page.get_textpage(), page.get_size()
            for size in (1, 3, 8, 20, 60, 200):
                start = chance.randrange(len(text) - 2)
                words = text[start : start + size]
                if not words.strip():
                    continue
                boxes = boxes_of(page, text, start, start + len(words))
                assert boxes is not None, (path.name, number, words)
                assert len(boxes) == sum(1 for line in words.split("\n") if line.strip())
                # What is within, without the half point that a neighbour's serif may reach into.
                within = [
                    seen.get_text_bounded(
                        left * across + 0.7, (1 - bottom) * down + 0.7, right * across - 0.7, (1 - top) * down - 0.7
                    )
                    for left, top, right, bottom in boxes
                ]
                assert folded("".join(within)) == folded(words), (path.name, number)
                asked += 1
    assert asked > 100


def test_a_word_that_occurs_ten_times_is_boxed_where_it_was_meant() -> None:
    """Each of ten equal words on a page has its own box, on its own line and at its own place in it."""
    pdf = page_of(lines(*["lamp and lamp"] * 5))
    text = extract(pdf).text
    starts = [n for n in range(len(text)) if text.startswith("lamp", n)]
    assert len(starts) == 10
    for number, start in enumerate(starts):
        [box] = located(pdf, start, start + 4).boxes
        baseline = (792 - (720 - 14 * (number // 2))) / 792
        assert box.top < baseline - 5 / 792
        assert baseline < box.bottom < baseline + 5 / 792
        assert (box.left * 612 > 80) == (number % 2 == 1)
        assert abs((box.right - box.left) * 612 - 23.8) < 1


@pytest.mark.parametrize("turned", [0, 90, 180, 270])
@pytest.mark.parametrize("crop", ["", "/CropBox [100 500 400 700]"])
def test_the_marker_is_on_the_words_and_nowhere_else(turned: int, crop: str) -> None:
    """On pages turned and cropped, the tinted part is the ink of the words, a little more, and nothing beyond."""
    others = [("alpha", 120, 660), ("gamma", 260, 660), ("beta", 190, 632), ("beta", 190, 604)]
    meant = ("beta", 190, 660)
    more = f"/Rotate {turned} {crop}"
    words = [others[0], meant, *others[1:]]
    pdf = page_of(placed(words), more=more)
    text = extract(pdf).text
    start = text.index("beta")
    png, found = draw(pdf, PageSpan(1, text, start, start + 4), 800)
    assert found.exact
    [box] = found.boxes
    marked, plain = picture(png), picture(draw(pdf, PageSpan(1, text), 800)[0])
    alone = ink(picture(draw(page_of(placed([meant]), more=more), PageSpan(1, ""), 800)[0]))
    tinted = ImageChops.difference(marked, plain).getbbox()
    assert tinted is not None
    assert tinted[0] <= alone[0]
    assert tinted[1] <= alone[1]
    assert tinted[2] >= alone[2]
    assert tinted[3] >= alone[3]
    # The line's height is more than that of its letters, by half of 11 points, and the outline some pixels.
    point = marked.width / {("", 0): 612, ("", 1): 792}.get((crop, turned // 90 % 2), 200 if turned % 180 else 300)
    for side, edge in zip(alone, tinted, strict=True):
        assert abs(side - edge) <= 6 * point + 4
    place = (box.left * marked.width, box.top * marked.height, box.right * marked.width, box.bottom * marked.height)
    for side, edge in zip(place, tinted, strict=True):
        assert abs(side - edge) <= 4
    # Black letters, light ground and a darker outline, also without colours.
    grey = marked.convert("L").crop(tinted)
    assert grey.getextrema()[0] < 60
    assert grey.getpixel((0, 0)) < 140  # type: ignore[operator]
    assert grey.crop((4, 4, grey.width - 4, grey.height - 4)).getextrema()[1] > 180  # type: ignore[operator]


def test_words_beyond_the_edge_of_a_cropped_page_are_not_marked() -> None:
    """Words that are on the page but not in its picture have no boxes, and that is said."""
    pdf = page_of(lines("Seen words", "hidden words", y=720), more="/CropBox [60 716 300 740]")
    text = extract(pdf).text
    assert located(pdf, 0, 10).exact
    assert located(pdf, text.index("hidden"), len(text)) == Located((), False)


def test_text_from_right_to_left() -> None:
    """The first words of Hebrew are boxed at the right end of the line, the last at its left end."""
    pdf = page_of(lines("ABC DEF GHI"), unicode=[f"{0x5D0 + n:04X}" for n in range(9)])
    text = extract(pdf).text
    assert sorted(folded(text)) == [chr(0x5D0 + n) for n in range(9)]
    boxes = [located(pdf, start, start + 3).boxes for start in (0, 4, 8)]
    assert [len(each) for each in boxes] == [1, 1, 1]
    [[first], [second], [third]] = boxes
    assert first.left > second.right > second.left > third.right
    assert abs(third.left * 612 - 72) < 1


@pytest.mark.parametrize(
    ("pdf", "words", "count"),
    [
        (page_of(lines("a well-", "known exam-", "ple - end")), "known exam-\nple", 2),
        (page_of(lines("an exam\xad", "ple of soft\xadness here")), "soft\xadness", 1),
        (page_of(lines("x ABC y"), unicode=["FB01", "00660069", "D83DDE00"]), "ﬁfi😀", 1),
        (page_of(lines("x B AC y"), unicode=["0065", "00E9", "0301"]), "é e\u0301", 1),
        (page_of(lines("x \\001A y"), unicode=["0007"]), "y", 1),
        (page_of(lines("left one", "left two") + lines("right one", "right two", x=300)), "left two\nright one", 2),
        (page_of(lines("below", y=600) + lines("above")), "above", 1),
        (page_of(" BT /F1 11 Tf 0 1 -1 0 300 300 Tm (Upwards text) Tj 0 -14 Td (next line) Tj ET "), "text\nnext", 2),
        (page_of(" BT /F1 11 Tf 72 700 Td [(W) -100 (o) -100 (r) -300 (d)] TJ ( far) Tj ET "), "d far", 1),
        (make_bad.encrypted_pdf("Open to all", ""), "to", 1),
    ],
    ids="hyphens soft ligatures composed control columns order upwards spaced encrypted".split(),
)
def test_the_same_words_written_otherwise(pdf: bytes, words: str, count: int) -> None:
    """What PDFium writes in other characters, or in another order of lines, is found all the same."""
    start = extract(pdf).text.index(words)
    found = located(pdf, start, start + len(words))
    assert found.exact
    assert len(found.boxes) == count


@pytest.mark.parametrize(
    "pdf",
    [
        page_of(lines("Twice bold") + lines("Twice bold", x=73)),
        page_of(" BT /F1 11 Tf 0.87 0.5 -0.5 0.87 100 300 Tm (Askew words) Tj ET "),
    ],
    ids=["twice", "askew"],
)
def test_what_is_not_certain_is_not_marked(pdf: bytes) -> None:
    """Words that PDFium sees once where the text has them twice, or that no upright box holds, have no boxes."""
    text = extract(pdf).text
    assert located(pdf, 0, len(text)) == Located((), False)
    png, found = draw(pdf, PageSpan(1, text, 0, len(text)), 400)
    assert found == Located((), False)
    assert png == draw(pdf, PageSpan(1, text), 400)[0]


_WORDS = st.lists(st.sampled_from(["the", "lamp", "of", "a"]), min_size=1, max_size=14)


@given(_WORDS, st.data())
def test_words_that_differ_are_never_taken_for_others(words: list[str], data: st.DataObject) -> None:
    """Where some words are shown as others, each of the rest is found at its very place, or not at all."""
    shown = [data.draw(st.sampled_from([word, word, word, "%" * len(word)])) for word in words]
    text, seen = " ".join(words), " ".join(shown)
    at = 0
    for word in words:
        places = align(text, at, at + len(word), [(char, n) for n, char in enumerate(seen)])
        assert places is None or places == list(range(at, at + len(word))), (text, seen)
        if text == seen:
            assert places is not None
        at += len(word) + 1


def test_one_difference_does_not_cost_the_page() -> None:
    """With a word shown as another, and blanks elsewhere, what stands apart from it is found."""
    text = "one two three four five six"
    shown = [(char, n) for n, char in enumerate("o ne two THREE four fivesix")]
    assert align(text, 0, 7, shown) == [0, 2, 3, 5, 6, 7]
    assert align(text, 19, 27, shown) == list(range(20, 27))
    assert align(text, 8, 13, shown) is None
    assert align(text, 4, 23, shown) is None


@pytest.mark.parametrize("media", ["0 0 1 14400", "0 0 14400 1", "0 0 14400 14400", "0 0 0 0", "0 0 1e9 1e9"])
def test_pixels_are_bounded_whatever_the_page_claims(media: str) -> None:
    """Pages of any size are drawn in a picture of bounded size."""
    drawn = picture(draw(page_of("0 0 9 9 re f", media=media), PageSpan(1, ""), 2000)[0])
    assert 1 <= drawn.width <= 2000
    assert 1 <= drawn.height <= MAX_HEIGHT


@pytest.mark.parametrize("width", [200, 333, 999, 2000])
def test_pictures_are_as_wide_as_asked(width: int) -> None:
    """A page of common proportions has exactly the pixels asked for."""
    pdf = page_of(lines("words"))
    assert picture(draw(pdf, PageSpan(1, ""), width)[0]).width == width


def rejection(pdf: bytes, page: int = 1, width: int = 400) -> FileRejectedError:
    with pytest.raises(FileRejectedError) as caught:
        draw(pdf, PageSpan(page, ""), width)
    return caught.value


def test_files_that_cannot_be_drawn_are_refused() -> None:
    """Junk, a locked file and a page that PDFium does not see are refused with a reason."""
    assert rejection(b"%PDF-1.4\n" + make_bad.junk(5000, 3)).reason == "corrupt"
    assert rejection(make_bad.encrypted_pdf("Secret", "pw")).reason == "corrupt"
    assert "1 pages" in rejection(page_of(""), page=2).message


def test_a_page_that_draws_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of forms that show each other ten times, twelve deep, costs its time, and the next page is drawn."""
    monkeypatch.setattr(page_images, "_SECONDS", 2.0)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] /Contents 4 0 R "
        b"/Resources << /XObject << /X 5 0 R >> >> >>",
        b"<< /Length 5 >>\nstream\n/X Do\nendstream",
    ]
    for number in range(6, 18):
        objects.append(
            b"<< /Type /XObject /Subtype /Form /BBox [0 0 99 99] /Resources << /XObject << /X %d 0 R >> >> " % number
            + b"/Length 60 >>\nstream\n"
            + b"/X Do " * 10
            + b"\nendstream"
        )
    objects.append(b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Length 11 >>\nstream\n0 0 9 9 re f\nendstream")
    assert rejection(make_bad.pdf_of_objects(objects)).reason == "timeout"
    assert draw(page_of(""), PageSpan(1, ""), 200)[0].startswith(b"\x89PNG")


def test_a_page_that_needs_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the memory it has, a child fails alone and with a plain message."""
    monkeypatch.setattr(page_images, "_MEMORY_MB", 60)
    assert rejection(page_of("", media="0 0 600 1200"), width=2000).reason == "crashed"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import ctypes; ctypes.string_at(0)", "crashed"),
        *((f"print({reply!r})", "crashed") for reply in ("nonsense", "[]", "{}", '{"rejected": 5}', "[" * 9999)),
        ("""print('{"rejected": ["nonesuch", "x"]}')""", "crashed"),
        ("""print('{"boxes": [{"page": 1}], "exact": true}')""", "crashed"),
        ("while True: print('x' * 10**6)", "crashed"),
    ],
)
def test_a_child_that_is_not_itself_costs_one_picture(code: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash, and an answer that is none, are refusals of this one page."""
    monkeypatch.setattr(page_images, "_BOOT", code)
    assert rejection(page_of("")).reason == reason


def test_children_see_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A captured child finds no keys in its environment."""
    monkeypatch.setenv("QA_API_KEYS", "secret")
    monkeypatch.setattr(
        page_images, "_BOOT", "import json, os; print(json.dumps({'rejected': ['crashed', repr(dict(os.environ))]}))"
    )
    assert "secret" not in rejection(page_of("")).message
    assert rejection(page_of("")).message.startswith("{")


def test_children_can_write_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the limits that a child sets itself, not one byte gets into a file."""
    target = tmp_path / "target"
    boot = f"""
import json, os, pathlib, sys
sys.path[:], seconds, memory, parent = json.loads(sys.argv[1])
import qa_app.converters.page_drawing as drawing
drawing._answer = lambda request, pdf: pathlib.Path({str(target)!r}).write_text("written")
drawing.serve(seconds, memory, parent)
"""
    monkeypatch.setattr(page_images, "_BOOT", boot)
    assert rejection(page_of("")).reason == "crashed"
    assert target.read_bytes() == b""


def test_no_more_than_two_are_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """While two pages are being drawn, a third waits, and is turned away when its patience ends; then it is drawn."""
    monkeypatch.setattr(page_images, "_PATIENCE", 0.05)
    pdf = page_of("")
    with page_images._AT_ONCE:
        assert draw(pdf, PageSpan(1, ""), 200)
        with page_images._AT_ONCE, pytest.raises(OverloadedError):
            draw(pdf, PageSpan(1, ""), 200)
    assert draw(pdf, PageSpan(1, ""), 200)


def test_boxes_of_several_pages() -> None:
    """Words that go on over the page's end have boxes on both pages."""
    pdf = make_bad.pdf(["first page ends", "second page begins"])
    extraction = extract(pdf)
    texts = ["first page ends\n\n", "second page begins"]
    assert bisect_right(extraction.page_starts, extraction.text.index("second")) == 2
    found = locate(pdf, [PageSpan(1, texts[0], 11, 17), PageSpan(2, texts[1], 0, 6)])
    assert [box.page for box in found.boxes] == [1, 2]
    assert found.boxes[0].left > found.boxes[1].left
