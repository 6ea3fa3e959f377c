"""The child process that reads one PDF with PDFium, locates words on its pages and draws a page.

Offsets count in the text that the converter extracted; ``page_matching`` finds PDFium's own characters for them.
"""

from __future__ import annotations

import ctypes
import io
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pypdfium2
from PIL import Image, ImageChops, ImageDraw
from pypdfium2 import raw

from qa_app.converters.page_matching import align
from qa_app.converters.worker import allow_processor_time, die_with, limit

MAX_HEIGHT = 4000
_COLOUR = (255, 224, 102)
_OUTLINE = (217, 72, 15)
#: A crowded page of a newspaper has some thirty thousand.
_MAX_CHARACTERS = 200_000
#: PDFium's coordinates are whole pixels of a picture; a large one makes fine shares.
_FINE = 100_000

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
    """Where ``text[start:end]`` stands on a page as it is shown, a box a line; None where that is not certain."""
    if start >= end:
        return []
    # On a turned page PDFium reads the lines in another order.
    rotation = page.get_rotation()
    page.set_rotation(0)
    textpage = page.get_textpage()
    page.set_rotation(rotation)
    if textpage.count_chars() > _MAX_CHARACTERS:
        return None
    places = align(text, start, end, _characters(textpage))
    # No upright box holds words that run askew and nothing else.
    if places is None or any(_is_askew(raw.FPDFText_GetCharAngle(textpage, number)) for number in places):
        return None
    characters = [_box(textpage, number) for number in places]
    # What is beyond the edges of a cropped page is not seen.
    if not all(_on_page(_shown(page, box)) for box in characters):
        return None
    shown = [_shown(page, line) for line in lines_of(characters)]
    return [(max(0.0, left), max(0.0, top), min(1.0, right), min(1.0, bottom)) for left, top, right, bottom in shown]


def _is_askew(radians: float) -> bool:
    """Whether a character is turned by more than some degrees from the four directions along the edges."""
    return abs(math.sin(2 * radians)) > 0.1


def _on_page(box: Rectangle) -> bool:
    """Whether the middle of a box is on the page."""
    return 0 < box[0] + box[2] < 2 and 0 < box[1] + box[3] < 2


def _characters(textpage: Any) -> list[tuple[str, int]]:
    """The characters of a page with their numbers, halves of surrogate pairs put together."""
    found: list[tuple[str, int]] = []
    for number in range(textpage.count_chars()):
        code = raw.FPDFText_GetUnicode(textpage, number)
        if found and 0xDC00 <= code < 0xE000 and "\ud800" <= found[-1][0] < "\udc00":
            high, first = found.pop()
            found.append((chr(0x10000 + ((ord(high) - 0xD800) << 10) + code - 0xDC00), first))
        else:
            found.append((chr(code), number))
    return found


def _box(textpage: Any, number: int) -> Rectangle:
    """A character's box in points, upwards from the bottom."""
    rectangle = raw.FS_RECTF()
    if not raw.FPDFText_GetLooseCharBox(textpage, number, rectangle):
        raise pypdfium2.PdfiumError("a character has no place")
    return rectangle.left, rectangle.bottom, rectangle.right, rectangle.top


def _shown(page: Any, box: Rectangle) -> Rectangle:
    """A box in shares of the page as it is shown, turned and cropped; may be beyond its edges."""
    across, down = ctypes.c_int(), ctypes.c_int()
    corners: list[tuple[float, float]] = []
    for x, y in (box[:2], box[2:]):
        raw.FPDF_PageToDevice(page, 0, 0, _FINE, _FINE, 0, x, y, across, down)
        corners.append((across.value / _FINE, down.value / _FINE))
    (left, top), (right, bottom) = corners
    return min(left, right), min(top, bottom), max(left, right), max(top, bottom)


def lines_of(boxes: Iterable[Rectangle]) -> Iterator[Rectangle]:
    """One box for the characters of each line, or of each column where lines run down."""
    line: Rectangle | None = None
    axes = (1, 0)
    for box in boxes:
        beside = [axis for axis in axes if line is not None and _beside(line, box, axis)]
        if line is not None and beside:
            line = (min(line[0], box[0]), min(line[1], box[1]), max(line[2], box[2]), max(line[3], box[3]))
            # A line that runs across does not go on downwards: what is below it is the next one.
            axes = (beside[0],) * 2
            continue
        if line is not None:
            yield line
        line, axes = box, (1, 0)
    if line is not None:
        yield line


def _beside(line: Rectangle, box: Rectangle, axis: int) -> bool:
    """Whether a character goes on with a line: about as high as it, and near; for axis 0 with across for high."""
    heights = sorted((line[axis + 2] - line[axis], box[axis + 2] - box[axis]))
    shared = min(line[axis + 2], box[axis + 2]) - max(line[axis], box[axis])
    other = 1 - axis
    gap = max(box[other] - line[other + 2], line[other] - box[other + 2])
    # An initial over several lines is no line of theirs.
    return 0 < heights[1] < 2 * heights[0] and shared > 0.5 * heights[0] and gap < 3 * heights[1]


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
