"""Pages of PDF files as pictures, and where words stand on them.

PDFium, which draws them, is written in C++ and reads what strangers made: it runs in a child process of its own for
each picture, which may take neither much memory nor much time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qa_app.errors import FileRejectedError, OverloadedError

#: Draws and reads a page within a second on old machines; hostile pages get no more.
_SECONDS = 30.0
#: PDFium reserves address space generously.
_MEMORY_MB = 2048
#: Each child may keep a core busy; the machine is there for questions.
_AT_ONCE = threading.BoundedSemaphore(2)
_PATIENCE = 5.0

_BOOT = """
import json, sys
sys.path[:], *arguments = json.loads(sys.argv[1])
from qa_app.converters.page_drawing import serve
serve(*arguments)
"""


@dataclass(frozen=True)
class PageSpan:
    """Words on a page, which counts from 1: ``text[start:end]`` of its extracted text, none where both are 0."""

    page: int
    text: str
    start: int = 0
    end: int = 0


@dataclass(frozen=True)
class Box:
    """Words of one line, in shares of the page's width and height from its top left, as it is shown."""

    page: int
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Located:
    """The boxes of words, and whether all of them were found for sure; without that there are none."""

    boxes: tuple[Box, ...]
    exact: bool


def locate(pdf: bytes, spans: Sequence[PageSpan]) -> Located:
    """Where words stand on their pages; raises as :func:`draw` does."""
    reply, _ = _ask({"spans": [vars(span) for span in spans], "width": 0}, pdf)
    return _located(reply)


def draw(pdf: bytes, span: PageSpan, width: int) -> tuple[bytes, Located]:
    """A page as a PNG of ``width`` pixels, less where it is very high, with the words of the span marked.

    Raises FileRejectedError where the page cannot be drawn within the limits, and OverloadedError where too many are
    being drawn.
    """
    reply, picture = _ask({"spans": [vars(span)], "width": width}, pdf)
    return picture, _located(reply)


def _located(reply: Any) -> Located:
    return Located(tuple(Box(**box) for box in reply["boxes"]), bool(reply["exact"]))


def _ask(request: dict[str, Any], pdf: bytes) -> tuple[Any, bytes]:
    if not _AT_ONCE.acquire(timeout=_PATIENCE):
        raise OverloadedError("pages are being drawn for others; try again")
    try:
        return _answer(request, pdf)
    finally:
        _AT_ONCE.release()


def _answer(request: dict[str, Any], pdf: bytes) -> tuple[Any, bytes]:
    modules = [str(Path(folder).absolute()) for folder in sys.path]
    arguments = json.dumps([modules, _SECONDS, _MEMORY_MB, os.getpid()])
    try:
        # As the converters' children: nothing of the caller's environment, of its folder, or of its terminal.
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-I", "-B", "-X", "utf8", "-c", _BOOT, arguments],
            input=json.dumps(request).encode() + b"\n" + pdf,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FileRejectedError("timeout", f"the page could not be drawn within {_SECONDS:g} s") from error
    if done.returncode == -signal.SIGXCPU:
        raise FileRejectedError("timeout", f"drawing the page used more than {_SECONDS:g} s of processor time")
    if done.returncode:
        raise FileRejectedError("crashed", "the page cannot be drawn: it is damaged, or needs too much memory")
    head, _, picture = done.stdout.partition(b"\n")
    try:
        reply = json.loads(head)
        rejected = reply.get("rejected")
    except (ValueError, AttributeError) as error:
        raise FileRejectedError("crashed", "the page cannot be drawn: the drawing process sent nonsense") from error
    if rejected:
        raise FileRejectedError(*rejected)
    return reply, picture
