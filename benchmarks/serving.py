"""The API in a process of its own, as ``qa-app serve`` starts it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil


@dataclass(frozen=True)
class Served:
    """Where the API is, its process, and the seconds that it took to become ready."""

    url: str
    process: psutil.Process
    seconds: float


@contextmanager
def serving(data: Path, model: str, **more: str) -> Iterator[Served]:
    """The API over the data folder, ready; raises RuntimeError, with its log, where it does not come up.

    ``more`` are further variables of its environment.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QA_")}
    environment |= {"QA_DATA_DIR": str(data), "QA_READER_MODEL": model, "HF_HUB_OFFLINE": "1", **more}
    with tempfile.TemporaryFile() as log:
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "qa_app", "serve", "--port", str(port)], env=environment, stderr=log, stdout=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            with httpx.Client(base_url=url) as client:
                while not _is_ready(client):
                    if process.poll() is not None or time.monotonic() > started + 120:
                        log.seek(0)
                        raise RuntimeError(f"the server does not start: {log.read().decode()[-2000:]}")
                    time.sleep(0.05)
            yield Served(url, psutil.Process(process.pid), time.monotonic() - started)
        finally:
            process.terminate()
            process.wait(60)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/ready").status_code == 200
    except httpx.TransportError:
        return False
