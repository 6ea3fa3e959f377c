"""The API as the page asks it: what it answers, or what is wrong, in plain words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from ui import records
from ui.problems import Kind, ProblemError
from ui.records import read
from ui.settings import Settings

#: The API gives a question up after 30 seconds and says so itself.
SECONDS = 45.0
#: What needs no reader comes at once or not at all.
QUICK_SECONDS = 10.0
#: An upload may be large, and is answered when it is on the server's disk.
UPLOAD_SECONDS = 600.0

_KINDS: dict[int, Kind] = {
    401: "unauthorised",
    403: "unauthorised",
    404: "gone",
    429: "busy",
    503: "starting",
    504: "slow",
}
_PLAIN: dict[Kind, str] = {
    "unauthorised": "The API does not take this page's key. Whoever runs the page sets QA_API_KEY.",
    "busy": "Too many questions are waiting. Try again in a moment.",
    "starting": "The API is starting, or has lost what it needs.",
    "slow": "The API took too long. Try again in a moment.",
    "refused": "The API could not do this.",
    "gone": "This is not there any more.",
}


class Client:
    """Asks one API; every method raises ProblemError, and is to be awaited in one and the same event loop."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.api_url
        headers = {b"Authorization": f"Bearer {settings.api_key}".encode()} if settings.api_key else {}
        # A proxy of the environment is for the world outside, not for the server beside this one.
        self._client = httpx.AsyncClient(headers=headers, trust_env=False, limits=httpx.Limits(max_connections=200))

    async def readiness(self) -> records.Readiness:
        """Whether questions can be answered, and by what."""
        return read(records.readiness, await self._json("GET", "/ready", quick=True, fine=(200, 503)))

    async def ask(self, question: str, params: Mapping[str, Any]) -> records.Answers:
        """The answers to a question."""
        return read(records.answers, await self._json("POST", "/query", json={"query": question, "params": params}))

    async def search(self, question: str, filters: Mapping[str, Any], top_k: int) -> tuple[records.Passage, ...]:
        """The passages that a question will be answered from."""
        body = {"query": question, "filters": filters, "top_k": top_k}
        return read(records.passages, await self._json("POST", "/search", json=body, quick=True))

    async def facets(self) -> records.Facets:
        """What can be filtered by."""
        return read(records.facets, await self._json("GET", "/facets", quick=True))

    async def examples(self) -> tuple[str, ...]:
        """Questions that the documents answer."""
        return read(records.examples, await self._json("GET", "/example-questions"))

    async def files(self, name: str, order: str, offset: int, limit: int) -> records.Files:
        """Some of the files."""
        params: dict[str, str | int] = {"order": order, "offset": offset, "limit": limit}
        if name:
            params["name"] = name
        return read(records.files, await self._json("GET", "/files", params=params, quick=True))

    async def file(self, id: str) -> records.File:
        """What is known of a file."""
        return read(records.file, await self._json("GET", f"/files/{_segment(id)}", quick=True))

    async def text(self, id: str, start: int, end: int) -> records.Text:
        """A stretch of a file's text."""
        params = {"start": start, "end": end}
        return read(records.text, await self._json("GET", f"/files/{_segment(id)}/text", params=params, quick=True))

    async def page(self, id: str, page: int, start: int | None, end: int | None) -> tuple[bytes, float | None]:
        """A page of a PDF file as a PNG picture, and how far down the boxed words are, from 0 to 1, if they are."""
        params: dict[str, int] = {} if start is None or end is None else {"start": start, "end": end}
        response = await self._request("GET", f"/files/{_segment(id)}/pages/{page}", params=params)
        if not response.content.startswith(b"\x89PNG"):
            raise ProblemError("nonsense", "What came is no picture of a page.")
        try:
            return response.content, float(response.headers["X-Marked-At"])
        except (KeyError, ValueError):
            return response.content, None

    async def original(self, id: str) -> bytes:
        """The file as it was indexed."""
        return (await self._request("GET", f"/files/{_segment(id)}/original", seconds=UPLOAD_SECONDS)).content

    async def upload(self, files: Sequence[tuple[str, bytes]], meta: Mapping[str, Any]) -> records.Job:
        """Sends files, each in place of that of its name; the job tells how they are doing."""
        body = await self._json(
            "POST",
            "/files",
            params={"replace": "true"},
            files=[("files", (name, content)) for name, content in files],
            data={"meta": json.dumps(meta)} if meta else None,
            seconds=UPLOAD_SECONDS,
        )
        return read(records.job, body)

    async def job(self, id: str) -> records.Job:
        """How an upload is doing."""
        return read(records.job, await self._json("GET", f"/jobs/{_segment(id)}", quick=True))

    async def rejections(self) -> tuple[records.Job, ...]:
        """The last uploads of which a file was rejected."""
        return read(records.jobs, await self._json("GET", "/jobs", params={"rejected": "true"}, quick=True))

    async def delete(self, id: str) -> None:
        """Removes a file."""
        await self._request("DELETE", f"/files/{_segment(id)}")

    async def judge(self, label: Mapping[str, Any]) -> None:
        """Keeps a judgement, in place of that with the same id."""
        await self._request("POST", "/feedback", json=label)

    async def labels(self) -> tuple[records.Label, ...]:
        """Every judgement."""
        return read(records.labels, await self._json("GET", "/feedback"))

    async def accuracy(self) -> records.Accuracy:
        """How often answers were right."""
        return read(records.accuracy, await self._json("POST", "/eval-feedback"))

    async def squad(self) -> bytes:
        """The judgements as SQuAD."""
        return (await self._request("GET", "/export-feedback")).content

    async def _json(self, method: str, path: str, **options: Any) -> Any:
        response = await self._request(method, path, **options)
        try:
            return response.json()
        except ValueError as error:
            raise self._nonsense(response) from error

    async def _request(
        self,
        method: str,
        path: str,
        *,
        quick: bool = False,
        seconds: float = SECONDS,
        fine: tuple[int, ...] = (200, 202),
        **options: Any,
    ) -> httpx.Response:
        timeout = httpx.Timeout(QUICK_SECONDS if quick else seconds, connect=5)
        try:
            response = await self._client.request(method, self._url + path, timeout=timeout, **options)
        except httpx.TimeoutException as error:
            raise ProblemError("slow", _PLAIN["slow"]) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ProblemError("down", f"Nothing answers at {self._url}. Is the API running there?") from error
        if response.status_code in fine:
            return response
        raise self._problem(response)

    def _problem(self, response: httpx.Response) -> ProblemError:
        kind = _KINDS.get(response.status_code, "refused")
        try:
            error = response.json()["error"]
            told, request = str(error["message"]), str(error["request_id"])
        except (ValueError, KeyError, TypeError):
            return self._nonsense(response)
        if kind == "busy" or kind == "unauthorised":
            return ProblemError(kind, _PLAIN[kind])
        return ProblemError(kind, f"{_PLAIN[kind]} It says: {told} (request {request})")

    def _nonsense(self, response: httpx.Response) -> ProblemError:
        return ProblemError(
            "nonsense", f"What answers at {self._url} is not qa_app's API (status {response.status_code})."
        )


def _segment(id: str) -> str:
    """An id as one part of a path: those in links could be anything."""
    if not id.replace("-", "").isalnum() or not id.isascii():
        raise ProblemError("gone", "This link names no document.")
    return id
