"""Ten thousand files: in the memory of ten, and completed after breaks."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qa_app.stores.sqlite import SQLiteDocumentStore
from tests.faults.table import Figure
from tests.ingesting import ingesting, settings_for, snapshot, write


def ingest_command(folder: Path, data: Path, *options: str) -> subprocess.Popen[str]:
    """The command at work, as a process of its own."""
    environment = {**os.environ, "QA_DATA_DIR": str(data), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "qa_app", "ingest", *options, str(folder)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def files(count: int, times: int) -> dict[str, str | bytes]:
    return {f"{i % 50}/{i:05}.txt": f"File number{i} says so. " * times for i in range(count)}


@pytest.mark.case("F25")
@pytest.mark.slow
def test_f25_memory_is_flat(tmp_path: Path, long: bool, figure: Figure) -> None:
    """An ingestion of thousands of files takes at its peak hardly more memory than one of ten, its report included."""
    many = 10_000 if long else 500
    peaks = {}
    for count in (10, many):
        process = ingest_command(write(tmp_path / str(count), files(count, 5)), tmp_path / f"data{count}", "--json")
        while process.poll() is None:
            # Not by its usage at the end, which begins with that of the process that started it.
            with contextlib.suppress(OSError, StopIteration):
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                peaks[count] = next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM"))
            time.sleep(0.02)
        _, messages = process.communicate()
        assert process.returncode == 0, messages
    figure(f"MB at the peak with 10 files, {peaks[many]} with {many:,}", peaks[10])
    assert peaks[many] - peaks[10] < 60


@pytest.mark.case("F25")
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_f25_interrupted_and_resumed(tmp_path: Path, long: bool, figure: Figure) -> None:
    """Ctrl-C ends a long ingestion with 130, and the next run goes on, to a clean run's passages."""
    count, breaks = (
        (10_000, 5) if long else (2_500, 1)
    )  # so many batches after the first that it is not done by the time it is interrupted
    folder = write(tmp_path / "many", files(count, 160))
    done = 0
    for _ in range(breaks):
        process = ingest_command(folder, tmp_path / "data")
        wait_for_passages(tmp_path / "data" / "store.sqlite", more_than=done)
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate(timeout=60)
        assert (process.returncode, "interrupted" in messages) == (130, True), messages[-2000:]
        done = wait_for_passages(tmp_path / "data" / "store.sqlite", more_than=0)
    with ingesting(settings_for(tmp_path / "data")) as ingest:
        report = ingest(folder)
        assert set(report.counts) == {"indexed", "unchanged"}
        resumed = snapshot(ingest.store)
    with ingesting(settings_for(tmp_path / "clean")) as ingest:
        ingest(folder)
        assert snapshot(ingest.store) == resumed
    figure("breaks survived", breaks)
    figure("files after breaks", sum(report.counts.values()))


def wait_for_passages(database: Path, more_than: int) -> int:
    """The number of passages once an ingestion in another process has committed further ones."""
    for _ in range(1200):
        if database.exists():
            store = SQLiteDocumentStore(str(database))
            count = int(store.get_document_count())
            store.close()
            if count > more_than:
                return count
        time.sleep(0.05)
    pytest.fail("the ingestion wrote nothing more in 60 s")
