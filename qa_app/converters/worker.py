"""The child process that reads files: limits itself, then converts what it is asked to until its input ends.

Started by ``cage``; never imported there. Everything it may do to the machine is bounded before the first file: memory,
processor time, open files, no file may be written, no core dumped.
"""

from __future__ import annotations

import errno
import hashlib
import importlib
import os
import resource
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import PurePath

from qa_app.converters.extraction import Extraction
from qa_app.converters.wire import Reply, pack_reply, unpack_request
from qa_app.errors import FileRejectedError

Extract = Callable[[bytes, str, str | None], Extraction]

_OPEN_FILES = 64
_PR_SET_PDEATHSIG = 1

# Made while there is memory to make it in.
_OUT_OF_MEMORY = pack_reply(
    Reply(reason="memory", message="conversion needed more memory than the limit; split the file")
)

_OPEN_FAILURES = {
    errno.ENOENT: ("vanished", "the file is not there any more"),
    errno.ENOTDIR: ("vanished", "the file is not there any more"),
    errno.EACCES: ("permission", "this user may not read the file"),
    errno.EPERM: ("permission", "this user may not read the file"),
    errno.ELOOP: ("not_a_file", "the links lead in a circle"),
    errno.ENXIO: ("not_a_file", "this is a socket or a device, not a file"),
    errno.ENAMETOOLONG: ("name", "the file's name is too long"),
}


def serve(entry: str, timeout: float, memory_mb: int, max_bytes: int, parent: int) -> None:
    """Converts the files asked for on standard input and replies on standard output until the input ends.

    ``entry`` names the module whose ``extract(data, name, only)`` does the work.
    """
    requests, replies = sys.stdin.buffer, sys.stdout.fileno()
    die_with(parent)
    limit(memory_mb)
    extract: Extract = importlib.import_module(entry).extract
    _send(replies, b"+")
    for line in requests:
        paths, only = unpack_request(line)
        for path in paths:
            allow_processor_time(timeout)
            try:
                frame = pack_reply(_convert(path, only, extract, max_bytes))
            except MemoryError:
                frame = _OUT_OF_MEMORY
            _send(replies, frame)
            if frame is _OUT_OF_MEMORY:
                return  # what a failed allocation leaves behind cannot be trusted


def _convert(path: str, only: str | None, extract: Extract, max_bytes: int) -> Reply:
    try:
        data, found = _read(path, max_bytes)
        extraction = extract(data, PurePath(path).name, only)
    except FileRejectedError as error:
        return Reply(reason=error.reason, message=error.message)
    except MemoryError:
        raise
    except RecursionError:
        return Reply(reason="too_deep", message="the content is nested too deeply")
    except Exception as error:  # noqa: BLE001 - a defect of ours or of a parser costs this file alone
        return Reply(
            reason="crashed", message=f"the converter failed on this file ({type(error).__name__}: {error})"[:500]
        )
    digest = hashlib.sha256(data).hexdigest()
    return Reply(extraction, digest, found.st_size, found.st_mtime_ns)


def _read(path: str, max_bytes: int) -> tuple[bytes, os.stat_result]:
    """Gives the bytes of a regular file that did not change meanwhile."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError as error:
        raise FileRejectedError("name", "the file's name is not valid text; rename it") from error
    try:
        # Without blocking, a pipe that nobody writes to opens at once, and is then refused.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        reason, message = _OPEN_FAILURES.get(
            error.errno or 0, ("permission", f"the file cannot be opened ({error.strerror})")
        )
        raise FileRejectedError(reason, message) from error
    except ValueError as error:
        raise FileRejectedError("name", "the file's name holds a zero byte") from error
    try:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            raise FileRejectedError("not_a_file", "this is a folder, pipe, socket or device, not a file")
        if before.st_size > max_bytes:
            raise FileRejectedError(
                "too_large", f"the file has {before.st_size >> 20} MB; the limit is {max_bytes >> 20} MB"
            )
        if before.st_size == 0:
            raise FileRejectedError("empty_file", "the file is empty")
        data = _read_all(handle, before.st_size)
        after = os.fstat(handle)
    except OSError as error:
        raise FileRejectedError("permission", f"the file cannot be read ({error.strerror})") from error
    finally:
        os.close(handle)
    if len(data) != before.st_size or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise FileRejectedError("changed", "the file changed while it was read; try again when it is complete")
    return data, after


def _read_all(handle: int, size: int) -> bytes:
    # One byte more than the size tells a file that grows.
    data = os.read(handle, size + 1)
    if len(data) >= size:
        return data
    pieces = [data]
    while data and size >= 0:
        size -= len(data)
        data = os.read(handle, size + 1)
        pieces.append(data)
    return b"".join(pieces)


def _send(replies: int, frame: bytes) -> None:
    view = memoryview(frame)
    while view:
        view = view[os.write(replies, view) :]


def limit(memory_mb: int) -> None:
    """Bounds what this process may take of the machine."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for limited, bound in (
        (resource.RLIMIT_AS, memory_mb * 2**20),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limited, (bound, bound))


def allow_processor_time(timeout: float) -> None:
    """Lets this process compute for ``timeout`` seconds more."""
    # The pool's clock comes first; this ends a child in an endless loop whose pool was killed.
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + timeout) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def die_with(parent: int) -> None:
    """Has the kernel end this process with the thread that started it; where it cannot, the end of input has to do."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("the pool is gone")
