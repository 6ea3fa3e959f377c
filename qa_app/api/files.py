"""Files: upload, list, look into, download, delete."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Annotated, Any, BinaryIO, Literal
from urllib.parse import quote

from litestar import delete, get
from litestar.params import PathParameter, QueryParameter
from litestar.response import Stream
from msgspec import Meta, Struct

from qa_app.api.haystack import IndexParameter
from qa_app.api.problems import problems
from qa_app.api.schemas import Json
from qa_app.api.services import Services, ServicesDependency
from qa_app.converters.identity import OWN_KEYS
from qa_app.errors import NotFoundError

_CHUNK = 256 * 1024
Order = Literal["id", "name", "newest"]


class FileBody(Struct, omit_defaults=True):
    """What is known of a file."""

    id: str
    name: str
    path: Annotated[str, Meta(description="Under the folder it was read from, or its name where it was uploaded.")]
    passages: int
    size: int | None = None
    sha256: str | None = None
    media_type: str | None = None
    pages: int | None = None
    ingested_at: str | None = None
    meta: Annotated[Json, Meta(description="The metadata it was given.")] = {}


class FileList(Struct):
    """Some of the files."""

    files: list[FileBody]
    total: Annotated[int, Meta(ge=0, description="Files that fit, listed or not; with 'after', those after it.")]
    next: Annotated[
        str | None,
        Meta(description="To be given as 'after' for those that follow, in the order of ids; null at the end."),
    ]


class PassageBody(Struct, omit_defaults=True):
    """Where a passage stands in its file's text, in code points."""

    id: str
    start: int
    end: int
    page: int | None = None
    heading: str | None = None


class TextBody(Struct):
    """A file's extracted text, or a stretch of it; of the whole, ``text[start:end]`` is a passage's content."""

    id: str
    text: str
    start: Annotated[int, Meta(ge=0, description="Where the stretch begins.")]
    length: Annotated[int, Meta(ge=0, description="Code points of the whole text.")]
    passages: Annotated[list[PassageBody], Meta(description="Those of which some is in the stretch.")]


class Deleted(Struct):
    """What was deleted."""

    id: str
    passages: int


FileId = Annotated[str, PathParameter(description="The file's id.", max_length=64)]


@get("/files", opt={"scope": "read"}, tags=["documents"], summary="List files", responses=problems(404))
async def list_files(
    services: ServicesDependency,
    index: IndexParameter = None,
    limit: Annotated[int, QueryParameter(ge=1, le=1000, description="At most so many.")] = 100,
    after: Annotated[str, QueryParameter(max_length=64, description="Those with ids after this one.")] = "",
    name: Annotated[
        str, QueryParameter(max_length=200, description="Those with this in their path or name, in any case.")
    ] = "",
    order: Annotated[Order, QueryParameter(description="By id, by path, or the last ingested first.")] = "id",
    offset: Annotated[int, QueryParameter(ge=0, le=1_000_000, description="Without so many of the first.")] = 0,
) -> FileList:
    """A page of files: by ``next`` and ``after`` through all of them, or by ``offset`` in another order."""
    await services.run(services.check_index, index)
    return await services.run(_list, services, index, limit, after, name.casefold(), order, offset)


def _list(
    services: Services, index: str | None, limit: int, after: str, name: str, order: Order, offset: int
) -> FileList:
    total = 0

    def fitting() -> Iterator[FileBody]:
        nonlocal total
        for one in services.store.get_all_files(index, after=after):
            file = _file(one)
            if name in file.path.casefold() or name in file.name.casefold():
                total += 1
                yield file

    # Never all of them in memory: the record of a long file lists its pages and headings.
    last = offset + limit
    if order == "name":
        found = heapq.nsmallest(last, fitting(), key=lambda file: (file.path.casefold(), file.path, file.id))
    elif order == "newest":
        found = heapq.nlargest(last, fitting(), key=lambda file: (file.ingested_at or "", file.id))
    else:
        found = heapq.nsmallest(last, fitting(), key=lambda file: file.id)
    files = found[offset:]
    return FileList(files, total, files[-1].id if order == "id" and files and last < total else None)


@get("/files/{id:str}", opt={"scope": "read"}, tags=["documents"], summary="A file", responses=problems(404))
async def get_file(services: ServicesDependency, id: FileId, index: IndexParameter = None) -> FileBody:
    """What is known of a file."""
    return _file(await services.run(found_file, services, id, index))


@get(
    "/files/{id:str}/text", opt={"scope": "read"}, tags=["documents"], summary="A file's text", responses=problems(404)
)
async def get_text(
    services: ServicesDependency,
    id: FileId,
    index: IndexParameter = None,
    start: Annotated[int, QueryParameter(ge=0, le=2**31, description="From this code point on.")] = 0,
    end: Annotated[
        int | None, QueryParameter(ge=0, le=2**31, description="Up to this one; the end where absent.")
    ] = None,
) -> TextBody:
    """The text that offsets count in, and where its passages stand."""
    file = await services.run(found_file, services, id, index)
    passages = await services.run(services.store.get_file_passages, id, index)
    length = len(file.content)
    start = min(start, length)
    end = length if end is None else max(start, min(end, length))
    return TextBody(
        id,
        file.content[start:end],
        start,
        length,
        [
            PassageBody(p.id, p.meta["start"], p.meta["end"], p.meta.get("page"), p.meta.get("heading"))
            for p in passages
            if max(start, p.meta["start"]) < min(end, p.meta["end"])
        ],
    )


@get(
    "/files/{id:str}/original",
    opt={"scope": "read"},
    tags=["documents"],
    summary="Download a file as it was uploaded",
    media_type="application/octet-stream",
    responses=problems(404),
)
async def get_original(services: ServicesDependency, id: FileId, index: IndexParameter = None) -> Stream:
    """The very bytes that were indexed; 404 where they are gone, or were changed since."""
    file = await services.run(found_file, services, id, index)
    original = await services.run(services.uploads.originals.open, file, index or services.settings.index)
    name = str(file.meta.get("name") or id)
    headers = {
        # Never shown by a browser as a page of ours, whatever it holds.
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Length": str(file.meta["size"]),
    }
    return Stream(_pieces(original), media_type="application/octet-stream", headers=headers)


def _pieces(original: BinaryIO) -> Iterator[bytes]:
    with original:
        while piece := original.read(_CHUNK):
            yield piece


@delete(
    "/files/{id:str}",
    status_code=200,
    opt={"scope": "write"},
    tags=["documents"],
    summary="Delete a file",
    responses=problems(404, 409, 507),
)
async def delete_file(services: ServicesDependency, id: FileId, index: IndexParameter = None) -> Deleted:
    """Its passages, text and uploaded original; feedback on its answers stays, see ``DELETE /feedback``."""
    await services.run(services.check_index, index)
    file = await services.run(services.uploads.delete_file, id, index)
    return Deleted(file.id, int(file.meta.get("passages", 0)))


def found_file(services: Services, id: str, index: str | None) -> Any:
    """The file's record with its text; raises NotFoundError."""
    services.check_index(index)
    file = services.store.get_file(id, index)
    if file is None:
        raise NotFoundError(f"there is no file {id!r}")
    return file


def _file(file: Any) -> FileBody:
    meta = file.meta
    return FileBody(
        id=file.id,
        name=str(meta.get("name") or file.id),
        path=str(meta.get("path") or meta.get("name") or file.id),
        passages=int(meta.get("passages", 0)),
        size=meta.get("size"),
        sha256=meta.get("sha256"),
        media_type=meta.get("media_type"),
        pages=len(meta.get("page_starts") or []) or None,
        ingested_at=meta.get("ingested_at"),
        meta={key: value for key, value in meta.items() if key not in OWN_KEYS},
    )


handlers: list[Any] = [list_files, get_file, get_text, get_original, delete_file]
