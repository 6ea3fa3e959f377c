"""Servers as child processes: started together, watched, and ended with this process, however that ends."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import typer

from qa_app.cli.output import say

_LOOK_SECONDS = 0.1
_PROBE_SECONDS = 1.0

#: Standard input is a pipe whose other end this process holds and never writes to: it ends even when SIGKILL leaves no
#: time for anything else. What is stored survives that, as it survives every kill.
_BOOT = """
import json, os, runpy, signal, sys, threading
def end_with_input():
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=end_with_input, daemon=True).start()
sys.path[:], sys.argv[:] = json.loads(sys.argv[1])
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@dataclass
class Server:
    """A Python module that serves HTTP, as a child process.

    ``health`` is the address that answers 200 when it is up; ``grace`` the seconds it may take to end; ``folder`` where
    it runs and looks for modules first, else where this process does.
    """

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    health: str
    grace: float
    folder: Path | None = None
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Starts it; its standard error is ours, its standard output nobody's."""
        modules = [str(Path(folder).absolute()) for folder in ([self.folder] if self.folder else []) + sys.path]
        # Isolated, so that no file of the working folder passes for a module; in its own session, so that Ctrl-C comes
        # to this process alone, which lets the servers finish.
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            [sys.executable, "-I", "-c", _BOOT, json.dumps([modules, list(self.command)])],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=self.environment,
            cwd=self.folder,
            start_new_session=True,
        )

    def is_up(self) -> bool:
        """Whether it answers now."""
        from http.client import HTTPConnection, HTTPException
        from urllib.parse import urlsplit

        where = urlsplit(self.health)
        connection = HTTPConnection(where.hostname or "", where.port, timeout=_PROBE_SECONDS)
        try:
            connection.request("GET", where.path)
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()


@contextlib.contextmanager
def running(*servers: Server) -> Iterator[None]:
    """Starts the servers and ends them with the block, at the latest when their grace is over.

    SIGTERM and the end of the terminal leave the block with exit code 0; a second signal ends the servers at once.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _leave)
    started: list[Server] = []
    try:
        for server in servers:
            server.start()
            started.append(server)
        yield
    finally:
        _end(started)


def wait(servers: Sequence[Server], until: Callable[[], bool] = lambda: False) -> None:
    """Returns when ``until`` says so, by default never; raises typer.Exit as soon as a server ends by itself."""
    while True:
        for server in servers:
            if (code := server.process.poll()) is not None:
                _report(server, code)
        if until():
            return
        time.sleep(_LOOK_SECONDS)


def _report(server: Server, code: int) -> NoReturn:
    if code < 0:
        killed = "; the system does so when memory runs out" if code == -signal.SIGKILL else ""
        why = f"was ended by {signal.Signals(-code).name}{killed}"
    else:
        why = f"ended by itself with exit code {code}; what it said about that is above"
    say(f"error: {server.name} {why}")
    raise typer.Exit(max(code, 1))


def _leave(number: int, frame: object) -> NoReturn:
    sys.exit(0)


def _end(servers: Sequence[Server]) -> None:
    left = [server for server in servers if server.process.poll() is None]
    try:
        for server in left:
            server.process.terminate()
        if left:
            say("ending what runs; Ctrl-C again does not wait for it")
        since = time.monotonic()
        for server in left:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(max(0.0, since + server.grace - time.monotonic()))
    finally:
        for server in left:
            server.process.kill()
        for server in left:
            server.process.wait()
