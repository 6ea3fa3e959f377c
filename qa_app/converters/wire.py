"""What a pool and its child processes say to each other.

JSON and counted bytes, never pickles: a child reads hostile files, and what comes out of it is as hostile until it has
been checked here.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

from qa_app.converters.extraction import Extraction, Heading, bounded
from qa_app.errors import REASONS

#: Bytes of the JSON header and of the UTF-8 text that follow.
PREFIX = struct.Struct(">II")
MAX_HEADER = 96 * 2**20
MAX_BODY = 4 * 20_000_000
MAX_MESSAGE_CHARS = 1000


class WireError(Exception):
    """The other side said something that is not in the protocol."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of one file: an extraction with its fingerprint, or a reason and a message."""

    extraction: Extraction | None = None
    sha256: str = ""
    size: int = 0
    mtime_ns: int = 0
    reason: str = ""
    message: str = ""


def pack_request(paths: list[str], only: str | None) -> bytes:
    """Gives the line that asks for ``paths``; names that are not text survive as escaped surrogates."""
    return json.dumps({"paths": paths, "only": only}).encode("ascii") + b"\n"


def unpack_request(line: bytes) -> tuple[list[str], str | None]:
    """Gives paths and format that :func:`pack_request` packed."""
    request = json.loads(line)
    return request["paths"], request["only"]


def pack_reply(reply: Reply) -> bytes:
    """Gives the frame of one reply: prefix, header, text."""
    extraction = reply.extraction
    if extraction is None:
        return _frame({"reason": reply.reason, "message": reply.message}, b"")
    header = {
        "sha256": reply.sha256,
        "size": reply.size,
        "mtime_ns": reply.mtime_ns,
        "media_type": extraction.media_type,
        "encoding": extraction.encoding,
        "page_starts": extraction.page_starts,
        "headings": [(heading.start, heading.level, heading.title) for heading in extraction.headings],
        "meta": extraction.meta,
    }
    return _frame(header, extraction.text.encode("utf-8"))


def _frame(header: dict[str, object], body: bytes) -> bytes:
    packed = json.dumps(header, ensure_ascii=True, separators=(",", ":")).encode("ascii")
    return PREFIX.pack(len(packed), len(body)) + packed + body


def frame_size(buffer: bytes | bytearray) -> int | None:
    """Gives the size of the frame that ``buffer`` begins with, or None while its prefix is incomplete."""
    if len(buffer) < PREFIX.size:
        return None
    header, body = PREFIX.unpack_from(buffer)
    if header > MAX_HEADER or body > MAX_BODY:
        raise WireError("a frame is over the limits")
    return int(PREFIX.size + header + body)


def unpack_reply(frame: bytes | bytearray) -> Reply:
    """Gives the reply in a complete frame; raises :class:`WireError` where anything in it is not as promised."""
    header_size, _ = PREFIX.unpack_from(frame)
    try:
        header = json.loads(frame[PREFIX.size : PREFIX.size + header_size])
        if "reason" in header:
            if header["reason"] not in REASONS:
                raise WireError("an unknown reason")
            # A message may repeat what stands in the file, at any length and with halves of surrogate pairs.
            message = str(header["message"])[:MAX_MESSAGE_CHARS].encode("utf-8", "replace").decode("utf-8")
            return Reply(reason=header["reason"], message=message)
        text = frame[PREFIX.size + header_size :].decode("utf-8")
        encoding = header["encoding"]
        starts = tuple(map(int, header["page_starts"]))
        headings = tuple(Heading(int(start), int(level), str(title)) for start, level, title in header["headings"])
        offsets = [*starts, *(heading.start for heading in headings)]
        if any(not 0 <= offset <= len(text) for offset in offsets):
            raise WireError("an offset outside of the text")
        # Halves of surrogate pairs would stop the whole batch at the store.
        "".join(heading.title for heading in headings).encode("utf-8")
        extraction = Extraction(
            text=text,
            media_type=str(header["media_type"]),
            page_starts=starts,
            headings=headings,
            encoding=None if encoding is None else str(encoding),
            meta=bounded(header["meta"]),
        )
        return Reply(extraction, str(header["sha256"]), int(header["size"]), int(header["mtime_ns"]))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise WireError(f"a reply that cannot be read: {error}") from error
