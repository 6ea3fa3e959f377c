"""One child process as its pool sees it: asked for files, watched by the clock, killed when it fails."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from qa_app.converters.wire import Reply, WireError, frame_size, pack_request, unpack_reply
from qa_app.errors import SettingsError

# Loading Python and one module; far beyond what a busy machine needs.
_START_SECONDS = 60.0
_READ = 2**20

_BOOT = """
import json, sys
sys.path[:], *arguments = json.loads(sys.argv[1])
from qa_app.converters.worker import serve
serve(*arguments)
"""


class ChildGoneError(Exception):
    """The child ended, or was ended, before it replied; ``reason`` and ``message`` are those of the file it was at."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message


class Child:
    """A running child process; not for two threads at once, except :meth:`kill`.

    Raises :class:`SettingsError` where it cannot start.
    """

    def __init__(self, entry: str, timeout: float, memory_mb: int, max_bytes: int) -> None:
        self.served = 0
        self.usable = True
        self._timeout = timeout
        self._buffer = bytearray()
        modules = [str(Path(folder).absolute()) for folder in sys.path]
        arguments = json.dumps([modules, entry, timeout, memory_mb, max_bytes, os.getpid()])
        # A new interpreter, because a fork would copy the locks and memory of the caller's threads. It starts without
        # the caller's environment, which may hold keys, but finds modules where the caller does; in its own session no
        # Ctrl-C reaches it.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-I", "-B", "-X", "utf8", "-c", _BOOT, arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )
        assert self._process.stdout is not None
        self._output = self._process.stdout.fileno()
        self._readable = select.poll()
        self._readable.register(self._output, select.POLLIN)
        try:
            self._await_start(entry, memory_mb)
        except BaseException:
            self.dispose()
            raise

    def convert(self, paths: list[str], only: str | None) -> Iterator[Reply]:
        """Gives one reply per path, in order; raises :class:`ChildGoneError` for the first that gets none."""
        # Until every reply has been taken: what is left in the pipe would pass for the next file's.
        self.usable = False
        self._request(pack_request(paths, only))
        for _ in paths:
            reply = self._receive(time.monotonic() + self._timeout)
            self.served += 1
            yield reply
            if reply.reason == "memory":
                return
        self.usable = True

    def kill(self) -> None:
        """Ends the process at once; a thread that waits for it gets :class:`ChildGoneError`."""
        self.usable = False
        self._process.kill()

    def dispose(self) -> None:
        """Ends the process, waits for it and closes its pipes."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()

    def _await_start(self, entry: str, memory_mb: int) -> None:
        try:
            started = self._read_more(time.monotonic() + _START_SECONDS) == b"+"
        except ChildGoneError:
            started = False
        if not started:
            raise SettingsError(
                f"the converter's process ({entry}) does not start within {memory_mb} MB of memory; raise that limit"
            )

    def _request(self, line: bytes) -> None:
        assert self._process.stdin is not None
        try:
            while line:
                line = line[self._process.stdin.write(line) or 0 :]
        except (OSError, ValueError) as error:
            raise self._gone() from error

    def _receive(self, deadline: float) -> Reply:
        try:
            while (size := frame_size(self._buffer)) is None or len(self._buffer) < size:
                self._buffer += self._read_more(deadline)
            frame = self._buffer[:size]
            del self._buffer[:size]
            return unpack_reply(frame)
        except WireError as error:
            self.kill()
            raise ChildGoneError("crashed", f"the converter's process sent nonsense ({error})") from error

    def _read_more(self, deadline: float) -> bytes:
        if not self._readable.poll(max(0.0, deadline - time.monotonic()) * 1000):
            self.kill()
            raise ChildGoneError(
                "timeout", f"conversion took longer than {self._timeout:g} s; split the file or raise the limit"
            )
        more = os.read(self._output, _READ)
        if not more:
            raise self._gone()
        return more

    def _gone(self) -> ChildGoneError:
        self.usable = False
        self._process.kill()
        code = self._process.wait()
        if code == -signal.SIGXCPU:
            return ChildGoneError("timeout", f"conversion used more than {self._timeout:g} s of processor time")
        how = signal.strsignal(-code) if code < 0 else f"exit code {code}"
        return ChildGoneError("crashed", f"the converter's process ended unexpectedly on this file ({how})")
