"""The child process that reads one PDF with PDFium, locates words on its pages and draws a page.

Offsets count in the text that the converter extracted, which is in another order of blanks and marks than PDFium's own
characters. The two are matched by position, never by looking for words: what a page says twice is marked where it was
meant.
"""

from __future__ import annotations

import ctypes
import io
import json
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any

import pypdfium2
from PIL import Image, ImageChops, ImageDraw
from pypdfium2 import raw

from qa_app.converters.worker import allow_processor_time, die_with, limit

MAX_HEIGHT = 4000
_COLOUR = (255, 224, 102)
_OUTLINE = (217, 72, 15)
#: Soft hyphens, and the marks that PDFium puts where it joins a word that was broken over lines.
_NOTHING = frozenset("\u00ad\u0002\ufffe\u200b\ufeff")
#: PDFium's coordinates are whole pixels of a picture; a large one makes fine shares.
_FINE = 100_000

Chars = list[tuple[str, int]]
Rectangle = tuple[float, float, float, float]


def serve(seconds: float, memory_mb: int, parent: int) -> None:
    """Answers one request on standard input: a line of JSON, then the PDF; see ``page_images``."""
    die_with(parent)
    limit(memory_mb)
    allow_processor_time(seconds)
    request = json.loads(sys.stdin.buffer.readline())
    reply, picture = _answer(request, sys.stdin.buffer.read())
    sys.stdout.buffer.write(json.dumps(reply).encode() + b"\n" + picture)
    sys.stdout.buffer.flush()


def _answer(request: Any, pdf: bytes) -> tuple[dict[str, Any], bytes]:
    try:
        document = pypdfium2.PdfDocument(pdf)
    except pypdfium2.PdfiumError as error:
        return {"rejected": ["corrupt", f"this PDF cannot be drawn ({error})"]}, b""
    boxes: list[dict[str, Any]] = []
    exact = True
    picture = b""
    for span in request["spans"]:
        if not 1 <= span["page"] <= len(document):
            return {"rejected": ["corrupt", f"this PDF cannot be drawn: it has {len(document)} pages"]}, b""
        try:
            page = document[span["page"] - 1]
            found = boxes_of(page, span["text"], span["start"], span["end"])
            if request["width"]:
                picture = draw(page, found or [], request["width"])
        except pypdfium2.PdfiumError as error:
            return {"rejected": ["corrupt", f"page {span['page']} cannot be drawn ({error})"]}, b""
        exact = exact and found is not None
        boxes += [dict(zip(("page", "left", "top", "right", "bottom"), (span["page"], *box))) for box in found or []]
    return {"boxes": boxes if exact else [], "exact": exact}, picture


def boxes_of(page: Any, text: str, start: int, end: int) -> list[Rectangle] | None:
    """Where ``text[start:end]`` stands on a page, a box for each line; None where that is not certain."""
    if start >= end:
        return []
    textpage = page.get_textpage()
    shown = [(chr(raw.FPDFText_GetUnicode(textpage, n)), n) for n in range(textpage.count_chars())]
    places = align(text, start, end, shown)
    if places is None:
        return None
    return list(_lines(_box(page, textpage, n) for n in places))


def align(text: str, start: int, end: int, shown: Chars) -> list[int] | None:
    """The numbers of the characters shown that are ``text[start:end]``; None where that is not certain.

    Blanks are of no account, nor are ligatures and wide forms. Where both have the same characters, the n-th is the
    n-th; elsewhere words are matched in their order, and each word of the span must have its own.
    """
    mine, theirs = _folded(enumerate(text)), _folded((n, char) for char, n in shown)
    wanted = [n for n, (_, at) in enumerate(mine) if start <= at < end]
    if not wanted:
        return None
    if [char for char, _ in mine] == [char for char, _ in theirs]:
        return sorted({theirs[n][1] for n in wanted})
    words, others = _words(mine, text), _words(theirs, "".join(char for char, _ in shown))
    matcher = SequenceMatcher(
        None,
        ["".join(mine[n][0] for n in word) for word in words],
        ["".join(theirs[n][0] for n in word) for word in others],
        autojunk=False,
    )
    partner: dict[int, int] = {}
    for a, b, size in matcher.get_matching_blocks():
        for word, other in zip(words[a : a + size], others[b : b + size]):
            partner.update(zip(word, other))
    if any(n not in partner for n in wanted):
        return None
    places = [partner[n] for n in wanted]
    # Words that were matched far apart are not the ones that were read as one answer.
    if places != list(range(places[0], places[0] + len(places))):
        return None
    return sorted({theirs[n][1] for n in places})


def _folded(characters: Any) -> Chars:
    """Characters with their places, without blanks and in one form each."""
    return [
        (one, place)
        for place, char in characters
        for one in unicodedata.normalize("NFKC", char)
        if not one.isspace() and one not in _NOTHING
    ]


def _words(folded: Chars, text: str) -> list[list[int]]:
    """Numbers of folded characters, by words of the text that they are of."""
    words: list[list[int]] = []
    last = -1
    for n, (_, place) in enumerate(folded):
        if not words or any(char.isspace() for char in text[last + 1 : place]):
            words.append([])
        words[-1].append(n)
        last = place
    return words


def _box(page: Any, textpage: Any, number: int) -> Rectangle:
    """A character's box in shares of the page as it is shown, turned and cropped."""
    rectangle = raw.FS_RECTF()
    if not raw.FPDFText_GetLooseCharBox(textpage, number, rectangle):
        raise pypdfium2.PdfiumError("a character has no place")
    corners = [_shown(page, x, y) for x in (rectangle.left, rectangle.right) for y in (rectangle.bottom, rectangle.top)]
    across, down = [x for x, _ in corners], [y for _, y in corners]
    return min(across), min(down), max(across), max(down)


def _shown(page: Any, x: float, y: float) -> tuple[float, float]:
    across, down = ctypes.c_int(), ctypes.c_int()
    raw.FPDF_PageToDevice(page, 0, 0, _FINE, _FINE, 0, x, y, across, down)
    return _share(across.value), _share(down.value)


def _share(value: int) -> float:
    return min(1.0, max(0.0, value / _FINE))


def _lines(boxes: Iterator[Rectangle]) -> Iterator[Rectangle]:
    """One box for the characters of each line, or of each column where lines run down."""
    line: Rectangle | None = None
    for box in boxes:
        if line is not None and (_overlap(line, box, 1) or _overlap(line, box, 0)):
            line = (min(line[0], box[0]), min(line[1], box[1]), max(line[2], box[2]), max(line[3], box[3]))
        else:
            if line is not None:
                yield line
            line = box
    if line is not None:
        yield line


def _overlap(line: Rectangle, box: Rectangle, axis: int) -> bool:
    """Whether a character is beside the last one of a line: as high as it, or on a turned page as far across."""
    height = box[axis + 2] - box[axis]
    shared = min(line[axis + 2], box[axis + 2]) - max(line[axis], box[axis])
    other = 1 - axis
    gap = max(box[other] - line[other + 2], line[other] - box[other + 2])
    return height > 0 and shared > 0.5 * height and gap < 3 * height


def draw(page: Any, boxes: Sequence[Rectangle], width: int) -> bytes:
    """The page as a PNG with boxes tinted and outlined."""
    across, down = page.get_size()
    scale = min(width / across, MAX_HEIGHT / down)
    picture: Image.Image = page.render(scale=scale).to_pil().convert("RGB")
    marker = ImageDraw.Draw(picture)
    for left, top, right, bottom in boxes:
        place = (
            max(0, int(left * picture.width) - 2),
            max(0, int(top * picture.height) - 2),
            min(picture.width, int(right * picture.width) + 3),
            min(picture.height, int(bottom * picture.height) + 3),
        )
        # Multiplied, as with a marker pen: what is black stays black.
        part = picture.crop(place)
        picture.paste(ImageChops.multiply(part, Image.new("RGB", part.size, _COLOUR)), place[:2])
        marker.rectangle((place[0], place[1], place[2] - 1, place[3] - 1), outline=_OUTLINE, width=2)
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()
