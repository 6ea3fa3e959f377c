"""A converter that does what the file tells it to, for tests of the cage around converters."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

from qa_app.converters.extraction import Extraction

_kept: list[bytes] = []


def extract(data: bytes, name: str, only: str | None) -> Extraction:
    """Obeys the first word of ``data``."""
    order, _, rest = data.decode().partition(" ")
    if order == "hang":
        time.sleep(3600)
    elif order == "loop":
        while True:
            pass
    elif order == "segv":
        ctypes.string_at(0)
    elif order == "exit":
        os._exit(3)
    elif order == "memory":
        _kept.append(bytes(int(rest) * 2**20))
    elif order == "nonsense":
        os.write(sys.stdout.fileno(), b"\xff" * 64)
    elif order == "fail":
        raise KeyError("a defect")
    elif order == "write":
        Path(rest).write_text("written")
    elif order == "surrogate":
        return Extraction("\ud800", "text/plain")
    elif order == "report":
        return Extraction(f"{os.getpid()} {sorted(os.environ)}", "text/plain")
    return Extraction(f"{name}: {data.decode()}", "text/plain")
