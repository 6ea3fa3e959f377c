"""The server as a process, killed or told to end while it receives uploads over the network and indexes them."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest

from benchmarks.serving import serving
from qa_app import bootstrap
from qa_app.pipelines.jobs import Jobs
from qa_app.reading.resolution import BUNDLED_FOLDER
from qa_app.settings import Settings
from tests.faults.clients import until_it_holds
from tests.faults.table import Figure
from tests.ingesting import half, settings_for
from tests.unit.reading.tiny import save_random_reader

#: Some are small and some take several reads of the connection.
PARTS = (1, 3, 400)


def text(name: str, parts: int) -> str:
    return "\n\n".join(f"Part {part} of {name}. " + "Word after word. " * 20 for part in range(parts))


def upload(url: str, first: int, accepted: dict[str, list[str]], texts: dict[str, str]) -> None:
    """Uploads files by the dozen until the server is gone; ``accepted`` are the jobs that it answered with."""
    with httpx.Client(base_url=url, timeout=60) as client:
        for number in range(first, first + 10_000):
            files = {f"{number}-{k}.txt": text(f"{number}-{k}", PARTS[k % 3]) for k in range(12)}
            texts.update(files)
            try:
                answer = client.post("/files", files=[("files", (name, one.encode())) for name, one in files.items()])
            except httpx.TransportError:
                return
            assert answer.status_code == 202, answer.text
            accepted[answer.json()["id"]] = list(files)


def half_sent(url: str) -> socket.socket:
    """A connection over which an upload came in part."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    head = (
        f"POST /files HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 9999"
    )
    file = '--b\r\nContent-Disposition: form-data; name="files"; filename="half.txt"\r\n\r\nHalf a te'
    connection.sendall(f"{head}\r\n\r\n{file}".encode())
    return connection


def received(settings: Settings) -> list[Path]:
    """What is left of uploads that were not received whole, or is being received."""
    return list(settings.data_path.glob("jobs/.incoming-*"))


def all_done(url: str, jobs: Iterable[str]) -> None:
    """Returns when these jobs are done."""
    for job in jobs:
        until_it_holds(
            lambda job=job: httpx.get(f"{url}/jobs/{job}").json()["status"] == "done",  # type: ignore[misc]
            f"job {job} is done",
            120,
        )


@pytest.mark.case("E14")
@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    "store", ["sqlite", pytest.param("elasticsearch", marks=[pytest.mark.elasticsearch, pytest.mark.long])]
)
def test_e14_a_server_killed_in_mid_upload(
    store: str, tmp_path: Path, request: pytest.FixtureRequest, long: bool, figure: Figure
) -> None:
    """Whenever it is killed, no file is half searchable, and all that was answered for is indexed by the next one."""
    dice, kills = random.Random(14), 20 if long else 1
    address = request.getfixturevalue("elasticsearch_url") if store == "elasticsearch" else None
    settings = settings_for(tmp_path / "data", address, index=f"killed-{os.getpid()}")
    environment = {"QA_INDEX": settings.index, "QA_STORE": store, "QA_READER_ENGINE": "torch"}
    if address:
        environment["QA_ELASTICSEARCH_URL"] = address
    model = str(save_random_reader(tmp_path / "reader", BUNDLED_FOLDER))
    accepted: dict[str, list[str]] = {}
    texts: dict[str, str] = {}
    left = 0
    for number in range(kills):
        with serving(settings.data_path, model, **environment) as served:
            until_it_holds(lambda: not received(settings), "what was left is swept away", 30)
            sending = half_sent(served.url)
            until_it_holds(lambda: bool(received(settings)), "the half upload is being received")
            uploading = threading.Thread(target=upload, args=(served.url, number * 10_000, accepted, texts))
            uploading.start()
            until_it_holds(lambda: bool(accepted), "an upload is accepted")
            time.sleep(dice.uniform(0, 1.5))
            served.process.kill()
            uploading.join()
            sending.close()
        with bootstrap.open_store(settings) as opened:
            assert half(opened, texts.values()) == ""
        assert received(settings)
        left += len(received(settings))
    with serving(settings.data_path, model, **environment) as served:
        until_it_holds(lambda: not received(settings), "what was left is swept away", 30)
        all_done(served.url, accepted)
    files = {name for names in accepted.values() for name in names}
    figure(f"kills of a server in mid-upload on {store}", kills)
    figure("uploads cut off and swept away", left)
    figure("files accepted and found", len(files))
    assert len(files) > kills * 5, "hardly a file arrived before the kill"
    with bootstrap.open_store(settings) as opened:
        assert half(opened, texts.values()) == ""
        assert files <= {file.meta["name"] for file in opened.get_all_files()}
        assert opened.problem() is None


@pytest.mark.case("E15")
@pytest.mark.slow
def test_e15_a_server_told_to_end(tmp_path: Path, figure: Figure) -> None:
    """It takes nothing new, answers what it was asked, and ends well; what it accepted is done by the next one."""
    settings = settings_for(tmp_path / "data")
    model = str(save_random_reader(tmp_path / "reader", BUNDLED_FOLDER))
    accepted: dict[str, list[str]] = {}
    answered: list[tuple[float, httpx.Response]] = []
    with serving(settings.data_path, model, QA_READER_ENGINE="torch") as served:
        sent = [("files", (f"{name}.txt", text(name, 3).encode())) for name in ("tides", "buoys")]
        assert httpx.post(f"{served.url}/file-upload", files=sent, timeout=60).status_code == 200

        def ask(questions: int) -> None:
            body = {"queries": ["Which part is this?"] * questions}
            answer = httpx.post(f"{served.url}/query-batch", json=body, timeout=120)
            answered.append((time.monotonic(), answer))

        ask(1)
        began = time.monotonic()
        ask(3)
        # A second or some, whatever the machine.
        asking = threading.Thread(target=ask, args=(max(4, min(1000, int(3 / (time.monotonic() - began)))),))
        uploading = threading.Thread(target=upload, args=(served.url, 0, accepted, {}))
        uploading.start()
        until_it_holds(lambda: len(accepted) > 8, "more uploads are accepted than are done meanwhile")
        asking.start()
        time.sleep(0.3)
        served.process.terminate()
        told = time.monotonic()
        # Nothing listens any more, which is how a server behind others takes no part.
        until_it_holds(lambda: not listens(served.url), "the server takes nothing new")
        off = time.monotonic()
        assert served.process.wait(30) == 0
        seconds = time.monotonic() - told
        asking.join()
        uploading.join()
    when, answer = answered[-1]
    assert answer.status_code == 200, answer.text
    assert when > told, "the question was answered before the server was told to end"
    assert off < when, "the server was there for others until the last question was answered"
    jobs = Jobs(settings.data_path / "jobs", 2**20)
    left = len(jobs.unfinished())
    with serving(settings.data_path, model, QA_READER_ENGINE="torch") as served:
        all_done(served.url, accepted)
    files = {name for names in accepted.values() for name in names}
    figure("seconds from SIGTERM to the end of a server", f"{seconds:.1f}")
    figure("uploads accepted before SIGTERM", len(accepted))
    figure("of them done by the next server", left)
    with bootstrap.open_store(settings) as opened:
        assert files <= {file.meta["name"] for file in opened.get_all_files()}
        assert opened.problem() is None


def listens(url: str) -> bool:
    """Whether there is an answer to whether it is ready."""
    try:
        httpx.get(f"{url}/ready", timeout=60)
    except httpx.TransportError:
        return False
    return True
