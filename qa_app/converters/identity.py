"""What makes two files the same file, and what the application itself says of a file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

#: Metadata that the application writes itself; neither a file's own nor a person's stand in for them.
OWN_KEYS = frozenset(
    (
        *("name", "path", "file_id", "sha256", "size", "mtime_ns", "media_type", "encoding", "page_starts", "headings"),
        *("start", "end", "page", "page_breaks", "heading", "version", "source", "fingerprint", "ingested_at"),
        *("passages", "answer_start", "answer_end", "answer_page", "uploaded"),
    )
)


def file_id(path: Path) -> str:
    """The same for the same place, whatever the file holds; 32 hex digits.

    The place is the absolute path as it was given: a file that is reached by two names is two files.
    """
    place = os.path.abspath(path)  # noqa: PTH100 - resolving links would make two names one file
    return hashlib.blake2b(place.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
