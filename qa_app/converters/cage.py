"""Converts files in child processes that may hang, crash or eat memory at the cost of one file each."""

from __future__ import annotations

import contextlib
import queue
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from qa_app.converters.child import Child, ChildGoneError
from qa_app.converters.extraction import Extraction
from qa_app.converters.wire import Reply

#: Small files travel together, because a message costs as much as reading one of them.
_CHUNK_FILES = 32
_CHUNK_BYTES = 256 * 2**10

OnFile: TypeAlias = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Converted:
    """A file's text, with hash, size and time of exactly the bytes it was taken from."""

    path: Path
    sha256: str
    size: int
    mtime_ns: int
    extraction: Extraction


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file without text: ``reason`` is a key of :data:`qa_app.errors.REASONS`, the message says what to do."""

    path: Path
    reason: str
    message: str


Result: TypeAlias = Converted | Rejected


class ConverterPool:
    """Up to ``workers`` child processes, started when needed and replaced when they fail.

    Each file may take ``timeout`` seconds and each child ``memory_mb`` of address space; files over ``max_bytes`` are
    not read. Safe to share between threads. ``entry`` names the module whose ``extract(data, name, only)`` the children
    call. Needs a POSIX system.
    """

    def __init__(
        self,
        workers: int = 2,
        timeout: float = 60,
        memory_mb: int = 1024,
        max_bytes: int = 50 * 2**20,
        *,
        entry: str = "qa_app.converters.dispatch",
    ) -> None:
        if workers < 1 or timeout <= 0 or memory_mb < 1 or max_bytes < 1:
            raise ValueError("workers, timeout, memory_mb and max_bytes must be positive")
        self._start: Callable[[], Child] = lambda: Child(entry, timeout, memory_mb, max_bytes)
        # One thread per child: the kernel ends a child with the thread that started it; these last as long as the pool.
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="converter")
        self._idle: queue.SimpleQueue[Child] = queue.SimpleQueue()
        self._all: set[Child] = set()
        self._lock = threading.Lock()
        self._closed = False
        # A pool that nobody closed, such as that of a Haystack node, still leaves no child behind.
        self._finalizer = weakref.finalize(self, _dispose, self._all)

    def convert(self, paths: Sequence[Path], *, only: str | None = None, on_file: OnFile | None = None) -> list[Result]:
        """Gives what became of each of ``paths``, in their order.

        ``only`` names the one format to take. ``on_file`` is called with each path as it is done, by the pool's
        threads, never by two at once. Raises :class:`SettingsError` where children cannot start within their memory
        limit, and RuntimeError once the pool is closed.
        """
        report = _one_at_a_time(on_file)
        futures: list[Future[list[Result]]] = []
        try:
            for chunk in _chunks(paths):
                futures.append(self._threads.submit(self._convert_chunk, chunk, only, report))
            return [result for future in futures for result in future.result()]
        except CancelledError as error:
            raise RuntimeError("the converter pool was closed meanwhile") from error
        finally:
            for future in futures:
                future.cancel()

    def close(self) -> None:
        """Ends all children, those at work included; may be called twice."""
        with self._lock:
            self._closed = True
            children = list(self._all)
        for child in children:
            child.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._finalizer()

    def __enter__(self) -> ConverterPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _convert_chunk(self, chunk: list[Path], only: str | None, report: OnFile) -> list[Result]:
        results: list[Result] = []
        while len(results) < len(chunk):
            child = self._checkout()
            try:
                remaining = chunk[len(results) :]
                for reply in child.convert([str(path.absolute()) for path in remaining], only):
                    path = chunk[len(results)]
                    if reply.reason == "memory" and child.served > 1:
                        break  # earlier files may have filled it; a new child decides
                    results.append(_result(path, reply))
                    report(path)
            except ChildGoneError as gone:
                if self._closed:
                    raise RuntimeError("the converter pool was closed meanwhile") from gone
                # A child that had read other files before may have been damaged by them: a new one decides.
                if gone.reason == "timeout" or child.served == 0:
                    path = chunk[len(results)]
                    results.append(Rejected(path, gone.reason, gone.message))
                    report(path)
            finally:
                self._give_back(child)
        return results

    def _checkout(self) -> Child:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            pass
        child = self._start()
        with self._lock:
            self._all.add(child)
            if not self._closed:
                return child
        child.dispose()
        raise RuntimeError("the converter pool was closed meanwhile")

    def _give_back(self, child: Child) -> None:
        if child.usable:
            self._idle.put(child)
        else:
            child.dispose()
            with self._lock:
                self._all.discard(child)


def _dispose(children: set[Child]) -> None:
    while children:
        children.pop().dispose()


def _result(path: Path, reply: Reply) -> Result:
    if reply.extraction is None:
        return Rejected(path, reply.reason, reply.message)
    return Converted(path, reply.sha256, reply.size, reply.mtime_ns, reply.extraction)


def _one_at_a_time(on_file: OnFile | None) -> OnFile:
    lock = threading.Lock()

    def report(path: Path) -> None:
        if on_file is not None:
            with lock:
                on_file(path)

    return report


def _chunks(paths: Sequence[Path]) -> Iterator[list[Path]]:
    chunk: list[Path] = []
    size = 0
    for path in paths:
        if len(chunk) == _CHUNK_FILES or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(path)
        with contextlib.suppress(OSError, ValueError):  # the child finds out why, and says so
            size += path.stat().st_size
    if chunk:
        yield chunk
