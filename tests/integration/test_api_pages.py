"""Pages of PDF files over the API: pictures with words marked, and where words stand."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pypdfium2
import pytest
from PIL import Image, ImageChops

from qa_app.converters import page_images
from qa_app.errors import OverloadedError
from tests import make_bad
from tests.conftest import REPOSITORY
from tests.serving import Server

HISTORY = REPOSITORY / "samples/computing/short-history-of-computing.pdf"


class Uploaded(NamedTuple):
    """A PDF file in an index of the server, and its text."""

    address: str
    index: str
    text: str
    pdf: bytes


@pytest.fixture
def index(api_server: Server) -> Iterator[str]:
    """The name of an index for one test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    yield name
    api_server.services.store.delete_index(name)


def upload(api: httpx.Client, index: str, name: str, content: bytes) -> Uploaded:
    answer = api.post("/file-upload", files=[("files", (name, content))], params={"index": index})
    assert answer.status_code == 200, answer.text
    [file] = api.get("/files", params={"index": index, "name": name}).json()["files"]
    address = f"/files/{file['id']}"
    return Uploaded(address, index, api.get(f"{address}/text", params={"index": index}).json()["text"], content)


@pytest.fixture
def history(api: httpx.Client, index: str) -> Uploaded:
    """A sample of twelve pages."""
    return upload(api, index, "history.pdf", HISTORY.read_bytes())


def page(api: httpx.Client, file: Uploaded, number: Any, **query: Any) -> httpx.Response:
    return api.get(f"{file.address}/pages/{number}", params={"index": file.index, **query})


def boxes(api: httpx.Client, file: Uploaded, start: int, end: int) -> dict[str, Any]:
    answer = api.get(f"{file.address}/boxes", params={"index": file.index, "start": start, "end": end})
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


def picture(answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return Image.open(io.BytesIO(answer.content)).convert("RGB")


def within(pdf: bytes, box: dict[str, Any]) -> str:
    """The text that PDFium sees in a box."""
    shown = pypdfium2.PdfDocument(pdf)[box["page"] - 1]
    across, down = shown.get_size()
    left, right = box["left"] * across + 0.7, box["right"] * across - 0.7
    top, bottom = (1 - box["top"]) * down - 0.7, (1 - box["bottom"]) * down + 0.7
    return str(shown.get_textpage().get_text_bounded(left, bottom, right, top))


def test_an_answer_is_boxed_on_its_page(api: httpx.Client, history: Uploaded) -> None:
    """The boxes hold the very words; the picture of their page is tinted there alone, and says how far down."""
    start = history.text.index("18,000 dollars")
    found = boxes(api, history, start, start + 14)
    assert found["exact"] is True
    [box] = found["boxes"]
    assert (box["page"], within(history.pdf, box).strip()) == (8, "18,000 dollars")
    marked = page(api, history, 8, start=start, end=start + 14)
    plain = page(api, history, 8)
    assert float(marked.headers["x-marked-at"]) == pytest.approx(box["top"], abs=1e-3)
    assert "x-marked-at" not in plain.headers
    drawn = picture(marked)
    assert drawn.width == 1000
    tinted = ImageChops.difference(drawn, picture(plain)).getbbox()
    assert tinted is not None
    place = (box["left"] * 1000, box["top"] * drawn.height, box["right"] * 1000, box["bottom"] * drawn.height)
    assert all(abs(edge - side) <= 4 for edge, side in zip(tinted, place, strict=True))
    assert picture(page(api, history, 8, width=320)).width == 320


def test_words_on_other_pages_leave_a_page_unmarked(api: httpx.Client, history: Uploaded) -> None:
    """A page that has nothing of the words is the page as it is."""
    start = history.text.index("18,000 dollars")
    other = page(api, history, 7, start=start, end=start + 14)
    assert other.content == page(api, history, 7).content
    assert "x-marked-at" not in other.headers


def test_words_over_two_pages_are_marked_on_both(api: httpx.Client, index: str) -> None:
    """What begins on one page and ends on the next has boxes on both, and is marked in both pictures."""
    file = upload(api, index, "two.pdf", make_bad.pdf(["The keeper of the light", "was Ada of Oslo.", "More."]))
    start, end = file.text.index("light"), file.text.index("was") + 3
    found = boxes(api, file, start, end)
    assert [(box["page"], within(file.pdf, box).strip()) for box in found["boxes"]] == [(1, "light"), (2, "was")]
    for number, is_marked in ((1, True), (2, True), (3, False)):
        assert ("x-marked-at" in page(api, file, number, start=start, end=end).headers) == is_marked


def test_offsets_count_code_points_of_the_indexed_text(api: httpx.Client, index: str) -> None:
    """Of equal words the one at the offsets is boxed, and an end beyond the text is its end."""
    file = upload(api, index, "same.pdf", make_bad.pdf(["Café and café, café", "Café"]))
    starts = [n for n in range(len(file.text)) if file.text.startswith("afé", n)]
    found = [boxes(api, file, start, start + 3)["boxes"] for start in starts]
    assert [len(each) for each in found] == [1, 1, 1, 1]
    assert [each[0]["page"] for each in found] == [1, 1, 1, 2]
    lefts = [each[0]["left"] for each in found]
    assert lefts[0] == lefts[3] < lefts[1] < lefts[2]
    assert boxes(api, file, starts[3], 10_000) == boxes(api, file, starts[3], len(file.text))


def test_what_is_not_certain_is_said(api: httpx.Client, index: str) -> None:
    """Where words cannot be placed for sure, the page comes without a mark, and boxes say that they are not exact."""
    packed = b"BT /F1 11 Tf 72 720 Td (Twice bold) Tj ET BT /F1 11 Tf 73 720 Td (Twice bold) Tj ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R "
        b"/Resources << /Font << /F1 3 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n" % len(packed) + packed + b"\nendstream",
    ]
    file = upload(api, index, "bold.pdf", make_bad.pdf_of_objects(objects))
    assert boxes(api, file, 0, len(file.text)) == {"boxes": [], "exact": False}
    answer = page(api, file, 1, start=0, end=len(file.text))
    assert answer.content == page(api, file, 1).content
    assert "x-marked-at" not in answer.headers


@pytest.mark.parametrize(
    "query",
    [
        *({"start": 5}, {"end": 5}, {"start": 5, "end": 5}, {"start": 6, "end": 5}, {"start": -1, "end": 5}),
        *({"start": "a", "end": 5}, {"width": 199}, {"width": 2001}, {"width": "wide"}),
    ],
)
def test_what_cannot_be_asked_is_422(api: httpx.Client, history: Uploaded, query: dict[str, Any]) -> None:
    """One offset without the other, an end that is not after the start, and widths out of bounds are refused."""
    assert page(api, history, 1, **query).status_code == 422
    if "width" not in query:
        answer = api.get(f"{history.address}/boxes", params={"index": history.index, **query})
        assert answer.status_code == 422


def test_stretches_that_have_no_place(api: httpx.Client, history: Uploaded) -> None:
    """Boxes of more pages than an answer has, or from beyond the text, are refused with a message that says so."""
    end = len(history.text)
    for query, said in (({"start": 0, "end": end}, "12 pages"), ({"start": end, "end": end + 5}, "beyond")):
        answer = api.get(f"{history.address}/boxes", params={"index": history.index, **query})
        assert answer.status_code == 422
        assert said in answer.json()["error"]["message"]


def test_what_is_not_there(api: httpx.Client, history: Uploaded) -> None:
    """Unknown files, indexes and pages are 404."""
    for address in ("/files/none/pages/1", "/files/none/boxes?start=0&end=5"):
        assert api.get(address).status_code == 404
    answer = page(api, history, 13)
    assert answer.status_code == 404
    assert "12 pages" in answer.json()["error"]["message"]
    assert api.get(f"{history.address}/pages/1", params={"index": "nowhere"}).status_code == 404
    assert page(api, history, 0).status_code == 422


def test_files_of_other_kinds_have_no_pages(api: httpx.Client, index: str) -> None:
    """A text file has no pages to draw, and that is what is said."""
    file = upload(api, index, "a.txt", b"Ada keeps the light.")
    for answer in (page(api, file, 1), api.get(f"{file.address}/boxes", params={"index": index, "start": 0, "end": 3})):
        assert answer.status_code == 422
        assert "no PDF file" in answer.json()["error"]["message"]


def test_only_the_bytes_that_were_indexed_are_drawn(api: httpx.Client, api_server: Server, history: Uploaded) -> None:
    """Where the original is gone, or is not what was indexed, there are no pictures."""
    folder = api_server.services.settings.data_path / "originals" / history.index
    [original] = [path for path in folder.rglob("*") if path.is_file()]
    assert original.read_bytes() == history.pdf
    original.chmod(0o600)
    original.write_bytes(make_bad.pdf(["Something else"]))
    for _ in range(2):
        assert page(api, history, 1).status_code == 404
        assert (
            api.get(f"{history.address}/boxes", params={"index": history.index, "start": 0, "end": 3}).status_code
            == 404
        )
        original.unlink(missing_ok=True)


def test_a_picture_that_takes_too_long_costs_itself(
    api: httpx.Client, history: Uploaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child over its time is ended with an error of ours, and the next picture is drawn."""
    with monkeypatch.context() as shorter:
        shorter.setattr(page_images, "_SECONDS", 0.01)
        answer = page(api, history, 1)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "timeout")
    assert picture(page(api, history, 1)).width == 1000


def test_too_many_pictures_at_once_are_turned_away(
    api: httpx.Client, history: Uploaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond two at once others wait, and are told to come again where that takes too long."""
    monkeypatch.setattr(page_images, "_PATIENCE", 0.05)
    with page_images._AT_ONCE, page_images._AT_ONCE:
        answer = page(api, history, 1)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, OverloadedError.code)
        assert answer.headers["retry-after"]
    assert page(api, history, 1).status_code == 200
