"""The server as a process, killed while it receives uploads over the network and indexes them."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import httpx
import pytest

from benchmarks.serving import serving
from qa_app import bootstrap
from qa_app.reading.resolution import BUNDLED_FOLDER
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
    dice, kills = random.Random(14), 20 if long else 2
    address = request.getfixturevalue("elasticsearch_url") if store == "elasticsearch" else None
    settings = settings_for(tmp_path / "data", address, index=f"killed-{os.getpid()}")
    environment = {"QA_INDEX": settings.index, "QA_STORE": store, "QA_READER_ENGINE": "torch"}
    if address:
        environment["QA_ELASTICSEARCH_URL"] = address
    model = str(save_random_reader(tmp_path / "reader", BUNDLED_FOLDER))
    accepted: dict[str, list[str]] = {}
    texts: dict[str, str] = {}
    for number in range(kills):
        with serving(settings.data_path, model, **environment) as served:
            uploading = threading.Thread(target=upload, args=(served.url, number * 10_000, accepted, texts))
            uploading.start()
            time.sleep(dice.uniform(0, 1.5))
            served.process.kill()
            uploading.join()
        with bootstrap.open_store(settings) as opened:
            assert half(opened, texts.values()) == ""
    with serving(settings.data_path, model, **environment) as served:
        until = time.monotonic() + 120
        for job in accepted:
            while httpx.get(f"{served.url}/jobs/{job}").json()["status"] != "done":
                assert time.monotonic() < until
                time.sleep(0.05)
    files = {name for names in accepted.values() for name in names}
    figure(f"kills of a server in mid-upload on {store}", kills)
    figure("files accepted and found", len(files))
    assert len(files) > kills * 5, "hardly a file arrived before the kill"
    with bootstrap.open_store(settings) as opened:
        assert half(opened, texts.values()) == ""
        assert files <= {file.meta["name"] for file in opened.get_all_files()}
        assert opened.problem() is None
