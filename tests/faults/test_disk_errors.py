"""E16, E17: a disk that is full, or takes writes and then says that it could not keep them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.serving import serving
from qa_app import bootstrap
from qa_app.reading.resolution import BUNDLED_FOLDER
from tests.conftest import not_traced
from tests.faults.table import Figure
from tests.ingesting import ends, ingesting, settings_for, snapshot, write
from tests.unit.reading.tiny import save_random_reader

KEPT = "fsync,fdatasync"
#: What a full disk refuses; a server's log is among it.
WRITES = "write,pwrite64,fsync,fdatasync"
FILES: dict[str, str | bytes] = {f"{n}.txt": f"Buoy {n} lies north of the bar. It is red." for n in range(6)}


def failing(calls: str, first: int, error: str) -> list[str]:
    """The beginning of a command line; what follows gets the error from the ``first`` of these system calls on."""
    return [
        "strace",
        "-f",
        "-qq",
        # Stops at these calls alone, which halves the time.
        "--seccomp-bpf",
        "-o",
        "/dev/null",
        "-e",
        f"trace={calls}",
        "-e",
        f"inject={calls}:error={error}:when={first}+",
    ]


@pytest.mark.case("E16", "E17")
@pytest.mark.slow
@pytest.mark.usefixtures("_traced")
@pytest.mark.timeout(3600)
def test_e16_e17_an_ingestion_that_the_disk_fails(tmp_path: Path, long: bool, figure: Figure) -> None:
    """From whichever write on the disk fails, either all is there or the command says so, and the next completes it."""
    folder = write(tmp_path / "papers", FILES)
    with ingesting(settings_for(tmp_path / "clean")) as ingest:
        ingest(folder)
        clean = snapshot(ingest.store)
    moments = {KEPT: range(1, 12) if long else (3, 7), "pwrite64": range(1, 60, 2) if long else (40,)}
    refused = 0
    for number, (calls, first) in enumerate((calls, first) for calls, some in moments.items() for first in some):
        settings = settings_for(tmp_path / f"data{number}")
        error = ("EIO", "ENOSPC")[number % 2]
        done = subprocess.run(
            [*failing(calls, first, error), sys.executable, "-m", "qa_app", "ingest", str(folder)],
            env={**os.environ, "QA_DATA_DIR": str(settings.data_path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode in (0, 4), (calls, first, error, done.stderr[-2000:])
        assert "Traceback" not in done.stderr
        if done.returncode:
            refused += 1
            assert "store.sqlite" in done.stderr
            assert "indexed" not in done.stdout
        with ingesting(settings) as ingest:
            assert ingest.store.problem() is None
            if done.returncode == 0:
                assert snapshot(ingest.store) == clean
            assert set(ends(ingest(folder)).values()) <= {"indexed", "unchanged"}
            assert snapshot(ingest.store) == clean
    figure("ingestions that told of a disk that kept nothing, completed by the next", refused)
    assert refused >= (15 if long else 2)


@contextmanager
def disk_failing(process: int, calls: str, error: str, folder: Path) -> Iterator[None]:
    """Within the block these system calls of a process that runs already get the error."""
    log = folder / "attached"
    with log.open("w") as out:
        tracing = subprocess.Popen(
            [*(arg for arg in failing(calls, 1, error) if arg not in ("-qq", "--seccomp-bpf")), "-p", str(process)],
            stderr=out,
        )
        try:
            while "attached" not in log.read_text():
                if tracing.poll() is not None:
                    not_traced(f"no process that runs may be traced here: {log.read_text()}")
            yield
        finally:
            tracing.terminate()
            tracing.wait(30)


@pytest.mark.case("E16", "E17")
@pytest.mark.slow
@pytest.mark.usefixtures("_traced")
@pytest.mark.timeout(1200)
def test_e16_e17_judgements_and_uploads_that_the_disk_fails(tmp_path: Path, long: bool, figure: Figure) -> None:
    """What the disk did not keep is not acknowledged, and all goes on when the disk is well again."""
    settings = settings_for(tmp_path / "data")
    with ingesting(settings) as ingest:
        ingest(write(tmp_path / "papers", FILES))
        document = ingest.store.get_all_documents()[0]
    kept: list[str] = []
    sent = 0

    def judge(url: str) -> httpx.Response:
        nonlocal sent
        sent += 1
        label: dict[str, Any] = {
            "id": f"judgement-{sent}",
            "query": f"What lies there, number {sent}?",
            "document": {"id": document.id},
            "answer": {
                "answer": "Buoy",
                "document_ids": [document.id],
                "offsets_in_document": [{"start": 0, "end": 4}],
            },
            "is_correct_answer": True,
            "is_correct_document": True,
            "origin": "user-feedback",
        }
        answer = httpx.post(f"{url}/feedback", json=label, timeout=60)
        if answer.status_code == 200:
            kept.append(label["id"])
        return answer

    def upload(url: str, name: str) -> httpx.Response:
        return httpx.post(f"{url}/file-upload", files={"files": (name, b"The bar moves every winter.")}, timeout=60)

    model = str(save_random_reader(tmp_path / "reader", BUNDLED_FOLDER))
    refused = {"EIO": 0, "ENOSPC": 0}
    uploaded: list[str] = []
    with serving(settings.data_path, model, QA_READER_ENGINE="torch") as served:
        failures = ((KEPT, "EIO"), ("pwrite64", "EIO"), (WRITES, "ENOSPC"))
        for number, (calls, error) in enumerate(failures * (5 if long else 1)):
            assert judge(served.url).status_code == 200
            with disk_failing(served.process.pid, calls, error, tmp_path):
                for _ in range(3):
                    answer = judge(served.url)
                    assert answer.status_code == 507, answer.text
                    assert answer.json()["error"]["code"] == "store_full"
                    refused[error] += 1
                if calls != "pwrite64":  # which writes nothing of an upload until it is indexed
                    answer = upload(served.url, "bar.txt")
                    assert answer.status_code in ((507,) if error == "ENOSPC" else (503, 507)), answer.text
                    refused[error] += 1
                assert httpx.get(f"{served.url}/live").status_code == 200
            assert judge(served.url).status_code == 200
            assert upload(served.url, f"bar{number}.txt").status_code == 200
            uploaded.append(f"bar{number}.txt")
        found = [label["id"] for label in httpx.get(f"{served.url}/feedback", timeout=60).json()]
    for error, count in refused.items():
        figure(f"judgements and uploads refused with {error}", count)
    assert len(found) == len(set(found))
    assert set(kept) <= set(found)
    with bootstrap.open_store(settings) as store:
        assert store.problem() is None
        assert set(kept) <= {label.id for label in store.get_all_labels()}
        assert set(uploaded) <= {file.meta["name"] for file in store.get_all_files()}
