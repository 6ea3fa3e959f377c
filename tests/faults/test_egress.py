"""A10: with a reader at hand, nothing asks for anything beyond this machine."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from qa_app.reading.resolution import BUNDLED_FOLDER
from tests.faults.clients import until_it_holds

ELSEWHERE = re.compile(r"sa_family=AF_INET6?,")
LOOPBACK = re.compile(r'inet_addr\("127\.|inet_pton\(AF_INET6, "::1"')


def beyond(trace: str) -> list[str]:
    """The calls that name an address on a network other than the loopback."""
    return [line for line in trace.splitlines() if ELSEWHERE.search(line) and not LOOPBACK.search(line)]


def strace(trace: Path) -> list[str]:
    """What a command begins with so that the addresses which it and its children name are written to ``trace``."""
    # Stops at these calls alone, which halves the time.
    return ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(trace)]


def environment(folder: Path) -> dict[str, str]:
    """As a newcomer has it, who may reach the model hub, with the reader that is at hand."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("QA_", "HF_"))}
    return own | {"QA_DATA_DIR": str(folder / "data"), "QA_READER_MODEL": str(BUNDLED_FOLDER)}


def traced(folder: Path, *command: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """What a command did, and the calls with addresses."""
    done = subprocess.run(
        [*strace(folder / "trace"), *command],
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    return done, (folder / "trace").read_text(errors="replace")


@pytest.mark.case("A10")
@pytest.mark.usefixtures("_traced")
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
@pytest.mark.usefixtures("_traced")
def test_the_demonstration_asks_nobody(tmp_path: Path) -> None:
    """Indexing the samples and answering from them names no address but this machine's."""
    done, trace = traced(tmp_path, sys.executable, "-m", "qa_app", "demo")
    assert done.returncode == 0, done.stderr[-2000:]
    assert not beyond(trace)


@pytest.mark.case("A10")
@pytest.mark.reader
@pytest.mark.slow
@pytest.mark.usefixtures("_traced")
def test_the_server_asks_nobody(tmp_path: Path) -> None:
    """From its start to its end, through an upload, a question, a judgement and an export, it stays on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [*strace(tmp_path / "trace"), sys.executable, "-m", "qa_app", "serve", "--port", str(port)]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, env=environment(tmp_path), stderr=log) as process,
    ):
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as api:
                until_it_holds(lambda: status(api, "/ready") == 200, "it is ready", 200)
                text = b"The ferry leaves at nine."
                assert api.post("/file-upload", files={"files": ("ferry.txt", text)}).status_code == 200
                found = api.post("/query", json={"query": "When does the ferry leave?"}).json()
                judgement = {"is_correct_answer": True, "is_correct_document": True, "origin": "user-feedback"}
                about = {"query": found["query"], "answer": found["answers"][0], "document": found["documents"][0]}
                assert api.post("/feedback", json={**about, **judgement}).status_code == 200
                for path in ("/export-feedback", "/docs", "/openapi.json", "/metrics"):
                    assert api.get(path).status_code == 200
        finally:
            for child in psutil.Process(process.pid).children():
                child.terminate()
    assert not beyond((tmp_path / "trace").read_text(errors="replace"))


def status(api: httpx.Client, path: str) -> int:
    """What a path answers; 0 while nobody does."""
    try:
        return api.get(path).status_code
    except httpx.TransportError:
        return 0
