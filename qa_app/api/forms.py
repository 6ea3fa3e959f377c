"""Multipart uploads, taken as a stream: files go to the disk as they come, and limits hold from the first byte."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from litestar import Request
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser, parse_options_header

from qa_app.api.services import Services
from qa_app.errors import InvalidRequestError, MalformedRequestError, TooLargeError

if TYPE_CHECKING:
    from qa_app.pipelines.jobs import Intake

#: What is not a file, in bytes and in number.
_FIELD_BYTES = 256 * 1024
_PARTS = 2000
# The newlines that may stand before the first part; a body of nothing else would be looked through for ever.
_PREAMBLE = 64 * 1024


@dataclass
class Upload:
    """A form that was read to its end: fields by name, and the intake with the files."""

    intake: Intake
    fields: dict[str, str] = field(default_factory=dict)
    files: int = 0

    def json_object(self, name: str) -> dict[str, Any]:
        """A field that holds a JSON object, or nothing, or null; raises InvalidRequestError."""
        text = self.fields.get(name, "").strip()
        try:
            value = json.loads(text or "null")
        except (ValueError, RecursionError):
            raise InvalidRequestError(f"{name} is not JSON") from None
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise InvalidRequestError(f"{name} is not a JSON object such as {{'year': 2024}}")
        return value


@asynccontextmanager
async def received(request: Request[Any, Any, Any], services: Services) -> AsyncIterator[Upload]:
    """The request's form; what of it is not accepted within the block is removed from the disk.

    Raises MalformedRequestError, TooLargeError and InvalidRequestError.
    """
    _, options = parse_options_header(request.headers["content-type"])
    with services.uploads.receive() as intake:
        upload = Upload(intake)
        try:
            parser = PushMultipartParser(
                options.get("boundary", ""),
                max_header_size=4096,
                max_header_count=8,
                max_segment_count=_PARTS,
                strict=True,
            )
            with parser:
                await _read(request, parser, upload)
        except ParserLimitReached as error:
            raise TooLargeError(f"the form is over a limit: {error}; send fewer or smaller parts") from error
        except (MultipartError, UnicodeError) as error:
            raise MalformedRequestError(f"the body is not a multipart form: {error}") from error
        if not upload.files:
            raise InvalidRequestError("the form has no file; send at least one, in the field 'files'")
        yield upload


async def _read(request: Request[Any, Any, Any], parser: PushMultipartParser, upload: Upload) -> None:
    sink: Any = None
    name, value, seen = "", bytearray(), 0
    async for chunk in request.stream():
        seen += len(chunk)
        for event in parser.parse(chunk) if chunk else ():
            if isinstance(event, MultipartSegment):
                name, value, sink = event.name or "", bytearray(), _sink(event, upload)
            elif event is None:
                if sink is not None:
                    sink.close()
                else:
                    upload.fields[name] = _text(name, bytes(value))
                sink = None
            elif sink is not None:
                sink.write(event)
            else:
                value += event
                if len(value) > _FIELD_BYTES:
                    raise TooLargeError(f"the field {name[:80]!r} is over {_FIELD_BYTES} bytes")
        if seen > _PREAMBLE and not upload.files and not upload.fields and sink is None and not value:
            raise MalformedRequestError("the body has no part of a form where the first should be")


def _sink(segment: MultipartSegment, upload: Upload) -> Any:
    """Where the bytes of a file go; None for a field."""
    if segment.filename is None:
        if segment.name == "files":
            raise InvalidRequestError("a part named 'files' has no filename; send it as a file")
        return None
    if segment.name != "files":
        raise InvalidRequestError(f"there is a file in the field {str(segment.name)[:80]!r}; files go into 'files'")
    upload.files += 1
    return upload.intake.add(segment.filename)


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidRequestError(f"the field {name[:80]!r} is not UTF-8") from None
