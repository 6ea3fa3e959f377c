"""What documents can be filtered by."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from litestar import get
from msgspec import Meta, Struct

from qa_app.api.haystack import IndexParameter
from qa_app.api.problems import problems
from qa_app.api.services import Services, ServicesDependency


class FacetValue(Struct):
    """A value, and how many files have it."""

    value: str | int | float | bool
    count: Annotated[int, Meta(ge=1, description="Files, not passages.")]


class FacetBody(Struct):
    """A field of metadata."""

    field: str
    kind: Annotated[Literal["text", "number", "boolean", "mixed"], Meta(description="What its values are.")]
    values: Annotated[list[FacetValue], Meta(description="The most frequent first, at most 50.")]
    others: Annotated[int, Meta(ge=0, description="Values that are not listed.")]


class FacetsBody(Struct):
    """Fields by name."""

    facets: list[FacetBody]
    files: Annotated[int, Meta(ge=0, description="Files in the index.")]


@get("/facets", opt={"scope": "read"}, tags=["documents"], summary="What to filter by", responses=problems(404))
async def facets(services: ServicesDependency, index: IndexParameter = None) -> FacetsBody:
    """The metadata of files, each value with the number of files that a filter ``{field: value}`` leaves."""
    await services.run(services.check_index, index)
    return await services.run(_facets, services, index)


def _facets(services: Services, index: str | None) -> FacetsBody:
    from qa_app.pipelines.facets import count

    found, total = count(services.store.get_all_files(index))
    return FacetsBody(
        [FacetBody(one.field, one.kind, [FacetValue(v, n) for v, n in one.values], one.others) for one in found], total
    )


handlers: list[Any] = [facets]
