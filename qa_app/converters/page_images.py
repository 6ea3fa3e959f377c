"""Pages of PDF files as pictures, and where words stand on them.

PDFium, which draws them, is written in C++ and reads what strangers made: it runs in a child process of its own for
each picture, which may take neither much memory nor much time.
"""

from __future__ import annotations

import contextlib
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
#: The largest picture has half of that.
_MAX_REPLY = 64 * 2**20
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
    return _ask({"spans": [vars(span) for span in spans], "width": 0}, pdf)[0]


def draw(pdf: bytes, span: PageSpan, width: int) -> tuple[bytes, Located]:
    """A page as a PNG of ``width`` pixels, less where it is very high, with the words of the span marked.

    Raises FileRejectedError where the page cannot be drawn within the limits, and OverloadedError where too many are
    being drawn.
    """
    located, picture = _ask({"spans": [vars(span)], "width": width}, pdf)
    return picture, located


def _ask(request: dict[str, Any], pdf: bytes) -> tuple[Located, bytes]:
    if not _AT_ONCE.acquire(timeout=_PATIENCE):
        raise OverloadedError("pages are being drawn for others; try again")
    try:
        return _answer(request, pdf)
    finally:
        _AT_ONCE.release()


def _answer(request: dict[str, Any], pdf: bytes) -> tuple[Located, bytes]:
    modules = [str(Path(folder).absolute()) for folder in sys.path]
    arguments = json.dumps([modules, _SECONDS, _MEMORY_MB, os.getpid()])
    # As the converters' children: nothing of the caller's environment, of its folder, or of its terminal.
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-I", "-B", "-X", "utf8", "-c", _BOOT, arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
        start_new_session=True,
    ) as child:
        late, output = _exchange(child, json.dumps(request).encode() + b"\n" + pdf)
    if late:
        raise FileRejectedError("timeout", f"the page could not be drawn within {_SECONDS:g} s")
    if child.returncode == -signal.SIGXCPU:
        raise FileRejectedError("timeout", f"drawing the page used more than {_SECONDS:g} s of processor time")
    if child.returncode:
        raise FileRejectedError("crashed", "the page cannot be drawn: it is damaged, or needs too much memory")
    head, _, picture = output.partition(b"\n")
    try:
        reply = json.loads(head)
        if rejected := reply.get("rejected"):
            reason, message = rejected
            raise FileRejectedError(reason, str(message))
        return Located(tuple(Box(**box) for box in reply["boxes"]), bool(reply["exact"])), picture
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise FileRejectedError("crashed", "the page cannot be drawn: the drawing process sent nonsense") from error


def _exchange(child: subprocess.Popen[bytes], request: bytes) -> tuple[bool, bytes]:
    """Whether the child was ended for its time, and what it said until it ended, or said too much."""
    late = threading.Event()

    def end() -> None:
        late.set()
        child.kill()

    clock = threading.Timer(_SECONDS, end)
    feeder = threading.Thread(target=_feed, args=(child, request))
    clock.start()
    feeder.start()
    try:
        assert child.stdout is not None
        output = child.stdout.read(_MAX_REPLY + 1)
        if len(output) > _MAX_REPLY:
            child.kill()
        child.wait()
    finally:
        child.kill()
        clock.cancel()
        feeder.join()
    return late.is_set(), output


def _feed(child: subprocess.Popen[bytes], request: bytes) -> None:
    assert child.stdin is not None
    with contextlib.suppress(OSError), child.stdin as pipe:  # it may end without having read all
        pipe.write(request)
