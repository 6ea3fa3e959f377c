"""What makes two files the same file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def file_id(path: Path) -> str:
    """The same for the same place, whatever the file holds; 32 hex digits.

    The place is the absolute path as it was given: a file that is reached by two names is two files.
    """
    place = os.path.abspath(path)  # noqa: PTH100 - resolving links would make two names one file
    return hashlib.blake2b(place.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
