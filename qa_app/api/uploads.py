"""Uploads: as Haystack has them, waited for; and as jobs, which are looked at later."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta, Struct
from msgspec.structs import asdict

from qa_app.api.forms import Upload, received
from qa_app.api.haystack import IndexParameter
from qa_app.api.problems import UploadRejectedError, problems
from qa_app.api.schemas import Json
from qa_app.api.services import Services, ServicesDependency
from qa_app.errors import DeadlineError, InvalidRequestError

#: What Haystack's clients may say of converting and splitting, and what is settled here for all files alike.
SETTLED = (
    "additional_params",
    "remove_numeric_tables",
    "valid_languages",
    "clean_whitespace",
    "clean_empty_lines",
    "clean_header_footer",
    "split_by",
    "split_length",
    "split_overlap",
    "split_respect_sentence_boundary",
)
#: Seconds between two looks at a job that is waited for.
_POLL = 0.05
#: An upload may begin a new index.
_INDEX = re.compile("[a-z0-9][a-z0-9_-]{0,99}")


class JobFile(Struct):
    """One file of an upload."""

    name: str
    size: int
    status: Annotated[str, Meta(description="pending, indexed, unchanged or rejected.")]
    reason: Annotated[str | None, Meta(description="Why it was rejected, as a word.")]
    message: str
    file_id: Annotated[str | None, Meta(description="The file under /files, where it was taken.")]
    passages: int


class JobBody(Struct):
    """An upload on its way into the index."""

    id: str
    status: Annotated[str, Meta(description="queued, running, waiting (for the store) or done.")]
    message: Annotated[str, Meta(description="What is waited for.")]
    index: str
    created_at: str
    finished_at: str | None
    files: list[JobFile]


class JobList(Struct):
    """Uploads, the newest first."""

    jobs: list[JobBody]


_FORM: Json = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "Text, Markdown, HTML, PDF or Word files.",
                        },
                        "meta": {
                            "type": "string",
                            "description": "A JSON object kept with every passage, to filter by.",
                            "examples": ['{"year": 2024}'],
                        },
                    },
                }
            }
        },
    }
}
_UPLOAD: Json = {"scope": "write", "body": "multipart/form-data", "openapi": _FORM}
_REPLACE = Annotated[bool, QueryParameter(description="Puts a file in place of those uploaded under its name before.")]


@post(
    "/file-upload",
    status_code=200,
    opt=_UPLOAD,
    tags=["haystack"],
    summary="Upload files and wait until they are indexed",
    responses=problems(404, 409, 507),
)
async def file_upload(
    request: Request[Any, Any, Any],
    services: ServicesDependency,
    index: IndexParameter = None,
    replace: _REPLACE = False,
    keep_files: Annotated[bool, QueryParameter(description="Of no effect: originals are always kept.")] = False,
) -> Response[None]:
    """Null where all files were indexed; where one was not, an error that lists how each ended. The others stay."""
    async with received(request, services) as upload:
        job = await _accepted(services, upload, index, replace=replace)
    until = time.monotonic() + services.settings.api_deadline + services.settings.ingest_timeout
    while job.status != "done":
        if time.monotonic() > until:
            raise DeadlineError(f"the files are still being indexed; /jobs/{job.id} tells when they are")
        await asyncio.sleep(_POLL)
        job = await services.run(services.uploads.outcome, job.id)
    rejected = [file for file in job.files if file.status == "rejected"]
    if rejected:
        first = rejected[0]
        more = f" ({len(rejected)} of {len(job.files)} files were rejected)" if len(job.files) > 1 else ""
        ends = [asdict(_job_file(file)) for file in job.files]
        raise UploadRejectedError(first.reason or "crashed", f"{first.name}: {first.message}{more}", ends)
    ignored = sorted(name for name in SETTLED if upload.fields.get(name))
    return Response(None, headers={"X-Ignored-Fields": ", ".join(ignored)} if ignored else None)


@post(
    "/files",
    status_code=202,
    opt=_UPLOAD,
    tags=["documents"],
    summary="Upload files",
    responses=problems(404, 507),
)
async def add_files(
    request: Request[Any, Any, Any],
    services: ServicesDependency,
    index: IndexParameter = None,
    replace: _REPLACE = False,
) -> Response[JobBody]:
    """Takes the files and answers at once; they are indexed even if this server is killed now. See ``/jobs/{id}``."""
    async with received(request, services) as upload:
        job = await _accepted(services, upload, index, replace=replace)
    return Response(_job(job), headers={"Location": f"/jobs/{job.id}"})


async def _accepted(services: Services, upload: Upload, index: str | None, *, replace: bool) -> Any:
    unknown = sorted(set(upload.fields) - {"meta", *SETTLED})
    if unknown:
        raise InvalidRequestError(f"the form has an unknown field {unknown[0][:80]!r}; it takes files and meta")
    upload.json_object("additional_params")
    meta = upload.json_object("meta")
    if index is not None and not _INDEX.fullmatch(index):
        raise InvalidRequestError(f"{index[:80]!r} is no name of an index; use lower case letters, digits, _ and -")
    return await services.run(services.uploads.accept, upload.intake, index, meta, replace)


@get(
    "/jobs/{id:str}",
    opt={"scope": "read"},
    tags=["documents"],
    summary="How an upload is doing",
    responses=problems(404),
)
async def get_job(services: ServicesDependency, id: Annotated[str, PathParameter(max_length=64)]) -> JobBody:
    """The job, with how each file ended; kept for a week."""
    return _job(await services.run(services.uploads.jobs.get, id))


@get("/jobs", opt={"scope": "read"}, tags=["documents"], summary="The last uploads", responses=problems())
async def list_jobs(
    services: ServicesDependency,
    limit: Annotated[int, QueryParameter(ge=1, le=200, description="At most so many.")] = 50,
    rejected: Annotated[bool, QueryParameter(description="Only those with a file that was rejected.")] = False,
) -> JobList:
    """Uploads of the last week, done or not."""
    jobs = services.uploads.jobs
    found = await services.run(lambda: jobs.newest(limit, rejected=rejected))
    return JobList([_job(job) for job in found])


def _job(job: Any) -> JobBody:
    return JobBody(
        job.id, job.status, job.message, job.index, job.created_at, job.finished_at, [_job_file(f) for f in job.files]
    )


def _job_file(file: Any) -> JobFile:
    return JobFile(file.name, file.size, file.status, file.reason, file.message, file.file_id, file.passages)


#: Those whose bodies may be as large as the settings allow.
upload_handlers: list[Any] = [file_upload, add_files]
handlers: list[Any] = [get_job, list_jobs]
