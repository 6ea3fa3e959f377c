"""Pages of PDF files: as pictures with words marked, and where words stand."""

from __future__ import annotations

from bisect import bisect_right
from typing import Annotated, Any

from litestar import Response, get
from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta, Struct

from qa_app.api.files import FileId, found_file
from qa_app.api.haystack import IndexParameter
from qa_app.api.problems import problems
from qa_app.api.services import Services, ServicesDependency
from qa_app.errors import InvalidRequestError, NotFoundError

_PDF = "application/pdf"
#: An answer is on a page or two; each costs some tenths of a second.
MAX_PAGES = 10


class BoxBody(Struct):
    """Words of one line, in shares of the page's width and height from its top left, as it is shown."""

    page: Annotated[int, Meta(ge=1)]
    left: Annotated[float, Meta(ge=0, le=1)]
    top: Annotated[float, Meta(ge=0, le=1)]
    right: Annotated[float, Meta(ge=0, le=1)]
    bottom: Annotated[float, Meta(ge=0, le=1)]


class BoxesBody(Struct):
    """Where words stand."""

    boxes: list[BoxBody]
    exact: Annotated[bool, Meta(description="False where the place of a word is not certain; there are no boxes then.")]


_MARKED = ResponseHeader(
    name="X-Marked-At",
    description="How far down the page the marks begin, from 0 to 1; absent where nothing is marked.",
    documentation_only=True,
)
_START = "Where the words begin in the file's text, in code points."
_END = "Where they end; not among them."


@get(
    "/files/{id:str}/pages/{page:int}",
    opt={"scope": "read"},
    tags=["documents"],
    summary="A page of a PDF file as a picture",
    media_type="image/png",
    response_headers=[_MARKED],
    responses={200: ResponseSpec(bytes, description="The page.", media_type="image/png"), **problems(404)},
)
async def get_page(
    services: ServicesDependency,
    id: FileId,
    page: Annotated[int, PathParameter(ge=1, le=100_000, description="The page, from 1 on.")],
    index: IndexParameter = None,
    start: Annotated[int | None, QueryParameter(ge=0, le=2**31, description=_START)] = None,
    end: Annotated[int | None, QueryParameter(ge=0, le=2**31, description=_END)] = None,
    width: Annotated[int, QueryParameter(ge=200, le=2000, description="Pixels across.")] = 1000,
) -> Response[bytes]:
    """The page as it was indexed; the words from ``start`` to ``end`` that stand on it are marked.

    Both are given or neither, and ``end`` is the greater.
    """
    picture, top = await services.run(_picture, services, id, index, page, start, end, width)
    return Response(picture, media_type="image/png", headers=None if top is None else {"X-Marked-At": f"{top:.4f}"})


@get(
    "/files/{id:str}/boxes",
    opt={"scope": "read"},
    tags=["documents"],
    summary="Where words stand in a PDF file",
    responses=problems(404),
)
async def get_boxes(
    services: ServicesDependency,
    id: FileId,
    start: Annotated[int, QueryParameter(ge=0, le=2**31, description=_START)],
    end: Annotated[int, QueryParameter(ge=0, le=2**31, description=_END)],
    index: IndexParameter = None,
) -> BoxesBody:
    """A box for each line of the words, for a viewer of your own."""
    return await services.run(_boxes, services, id, index, start, end)


def _picture(
    services: Services, id: str, index: str | None, page: int, start: int | None, end: int | None, width: int
) -> tuple[bytes, float | None]:
    from qa_app.converters import page_images

    if start is None and end is None:
        start = end = 0
    else:
        start, end = _words(start, end)
    file, starts = _pdf(services, id, index)
    if page > len(starts):
        raise NotFoundError(f"{file.meta.get('name')} has {len(starts)} pages, and no page {page}")
    picture, located = page_images.draw(_bytes(services, file, index), _span(file, starts, page, start, end), width)
    return picture, min((box.top for box in located.boxes), default=None)


def _boxes(services: Services, id: str, index: str | None, start: int, end: int) -> BoxesBody:
    from qa_app.converters import page_images

    start, end = _words(start, end)
    file, starts = _pdf(services, id, index)
    if start >= len(file.content):
        raise InvalidRequestError(f"start={start} is beyond the text of {file.meta.get('name')}: {len(file.content)}")
    end = min(end, len(file.content))
    pages = range(bisect_right(starts, start), bisect_right(starts, end - 1) + 1)
    if len(pages) > MAX_PAGES:
        raise InvalidRequestError(f"the words are on {len(pages)} pages; ask for {MAX_PAGES} at most")
    spans = [span for page in pages if (span := _span(file, starts, page, start, end)).end]
    located = page_images.locate(_bytes(services, file, index), spans)
    boxes = [BoxBody(box.page, box.left, box.top, box.right, box.bottom) for box in located.boxes]
    return BoxesBody(boxes, located.exact)


def _words(start: int | None, end: int | None) -> tuple[int, int]:
    if start is None or end is None or start >= end:
        raise InvalidRequestError(f"start={start} and end={end} are no words; give both, and an end after the start")
    return start, end


def _pdf(services: Services, id: str, index: str | None) -> tuple[Any, list[int]]:
    """The file's record, and where its pages begin in its text."""
    file = found_file(services, id, index)
    starts = file.meta.get("page_starts") or []
    if file.meta.get("media_type") != _PDF or not starts:
        raise InvalidRequestError(f"{file.meta.get('name')} is no PDF file; only pages of those can be drawn")
    return file, starts


def _bytes(services: Services, file: Any, index: str | None) -> bytes:
    with services.uploads.originals.open(file, index or services.settings.index) as original:
        return original.read()


def _span(file: Any, starts: list[int], page: int, start: int, end: int) -> Any:
    """What of the words from ``start`` to ``end`` stands on a page; nothing where that is blank."""
    from qa_app.converters.page_images import PageSpan

    first = starts[page - 1]
    last = starts[page] if page < len(starts) else len(file.content)
    text = file.content[first:last]
    begin, finish = max(start, first) - first, min(end, last) - first
    if begin >= finish or text[begin:finish].isspace():
        return PageSpan(page, text)
    return PageSpan(page, text, begin, finish)


handlers: list[Any] = [get_page, get_boxes]
