"""A10: with a reader at hand, nothing asks for anything beyond this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qa_app.reading.resolution import BUNDLED_FOLDER

STRACE = shutil.which("strace")
ELSEWHERE = re.compile(r"sa_family=AF_INET6?,")
LOOPBACK = re.compile(r'inet_addr\("127\.|inet_pton\(AF_INET6, "::1"')


def beyond(trace: str) -> list[str]:
    """The calls that name an address on a network other than the loopback."""
    return [line for line in trace.splitlines() if ELSEWHERE.search(line) and not LOOPBACK.search(line)]


def traced(folder: Path, *command: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """What a command did, and the calls with the addresses that it and its children named."""
    trace = folder / "trace"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("QA_", "HF_"))}
    environment |= {"QA_DATA_DIR": str(folder / "data"), "QA_READER_MODEL": str(BUNDLED_FOLDER)}
    strace = [str(STRACE), "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(trace)]
    done = subprocess.run(
        [*strace, *command], env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    return done, trace.read_text(errors="replace")


@pytest.mark.case("A10")
@pytest.mark.skipif(STRACE is None, reason="no strace")
def test_an_attempt_to_reach_elsewhere_would_be_seen(tmp_path: Path) -> None:
    """What watches the calls sees one that goes out, also from a child, and passes over the loopback."""
    attempt = "import socket, os; os.fork(); s = socket.socket(2, 2); s.connect(('{}', 9))"
    _, out = traced(tmp_path, sys.executable, "-c", attempt.format("192.0.2.1"))
    assert len(beyond(out)) == 2
    _, own = traced(tmp_path, sys.executable, "-c", attempt.format("127.0.0.1"))
    assert "connect(" in own
    assert not beyond(own)


@pytest.mark.case("A10")
@pytest.mark.reader
@pytest.mark.slow
@pytest.mark.skipif(STRACE is None, reason="no strace")
def test_the_demonstration_asks_nobody(tmp_path: Path) -> None:
    """Indexing the samples and answering from them names no address but this machine's."""
    done, trace = traced(tmp_path, sys.executable, "-m", "qa_app", "demo")
    assert done.returncode == 0, done.stderr[-2000:]
    assert not beyond(trace)
