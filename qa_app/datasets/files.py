"""Files of data, plain or gzipped."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

from qa_app.errors import MalformedRequestError, NotFoundError, SettingsError

_GZIP = b"\x1f\x8b"


def read_text(path: Path) -> tuple[str, str]:
    """What a text file in UTF-8 holds, unpacked where it is gzipped, and the SHA-256 of its bytes.

    Raises NotFoundError, SettingsError and MalformedRequestError, which name the file.
    """
    try:
        packed = path.read_bytes()
        content = gzip.decompress(packed) if packed.startswith(_GZIP) else packed
        return content.decode("utf-8-sig"), hashlib.sha256(packed).hexdigest()
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} is not there; check its name") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise MalformedRequestError(f"{path} is gzipped and damaged: {error}; copy it again") from error
    except UnicodeDecodeError as error:
        raise MalformedRequestError(f"{path} is not text in UTF-8: {error}") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error


def read_json(path: Path) -> tuple[Any, str]:
    """What a JSON file holds, and the SHA-256 of its bytes; raises as :func:`read_text` does."""
    text, digest = read_text(path)
    try:
        return json.loads(text), digest
    except (ValueError, RecursionError) as error:
        raise MalformedRequestError(f"{path} is not JSON: {error}") from error
