"""Keys and passwords, looked for in all that the application writes."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import psutil
import pytest

from qa_app.reading.resolution import BUNDLED_FOLDER
from tests.conftest import REPOSITORY
from tests.faults.clients import until_it_holds
from tests.faults.test_api_access import free_port
from tests.faults.test_egress import status
from tests.ingesting import settings_for, write
from tests.integration.test_cli import Shell
from tests.integration.test_improve_command import judge
from tests.serving import client, server, wait_until_ready
from tests.unit.reading.tiny import save_random_reader
from tests.unit.training.squad import freight, write_squad

KEY = "write-canary-0123456789abcdef"
PASSWORD = "password-canary-0123456789"
USER = {"QA_ELASTICSEARCH_USERNAME": "someone", "QA_ELASTICSEARCH_PASSWORD": PASSWORD}
SECRETS = ("canary-0123456789", "cGFzc3dvcmQtY2FuYXJ5")  # also as a header would have it


def leaked(said: str | bytes) -> bool:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return any(secret in text for secret in SECRETS)


def away() -> dict[str, str]:
    """Settings of a server that does not answer, with its password in the address too."""
    address = f"http://someone:{PASSWORD}@127.0.0.1:{free_port()}"
    return {"QA_STORE": "elasticsearch", "QA_ELASTICSEARCH_URL": address, "QA_ELASTICSEARCH_WAIT": "0"}


@pytest.mark.case("A8")
@pytest.mark.slow
def test_commands_tell_no_secret(tmp_path: Path) -> None:
    """Neither in reports, help and errors of a server that is away, nor in exports and what lies in the data folder."""
    shell = Shell(tmp_path)
    shell.environment |= {"QA_API_KEYS": f"write:{KEY}", **USER}
    write(tmp_path / "papers", {"ferry.txt": "The ferry leaves at nine."})
    elsewhere = away()
    runs = [
        shell("ingest", "papers"),
        shell("doctor"),
        shell("doctor", "--json"),
        shell("serve", "--help"),
        shell("export", "papers.qa.zip"),
        shell("doctor", code=4, **elsewhere),
        shell("ingest", "papers", code=4, **elsewhere),
        shell("ask", "When?", code=4, **elsewhere),
        shell("serve", code=2, QA_API_KEYS=f"nobody:{KEY}"),
        shell("doctor", code=4, QA_ELASTICSEARCH_PASSWORD=f"{PASSWORD}\n\t\x01", **elsewhere),
        shell("predict", "nowhere.jsonl", "out.jsonl", code=2),
        shell("evaluate", "reader", "nowhere.json", code=2),
    ]
    for run in runs:
        assert not leaked(run.stdout + run.stderr), run.args
    with zipfile.ZipFile(tmp_path / "papers.qa.zip") as archive:
        assert not any(leaked(archive.read(name)) for name in archive.namelist())
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and leaked(path.read_bytes())]


@pytest.mark.case("A8")
@pytest.mark.reader
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_commands_that_read_and_train_tell_no_secret(tmp_path: Path) -> None:
    """Neither in answers, predictions, figures, a trained reader and an improvement, nor where these fail."""
    shell, elsewhere = Shell(tmp_path), away()
    shell.environment |= {"QA_API_KEYS": f"write:{KEY}", **USER, "QA_READER_ENGINE": "torch"}
    write_squad(tmp_path / "squad.json", freight(40, 1))
    write(tmp_path, {"in.jsonl": json.dumps({"question": "When?", "context": "The ferry leaves at nine."}) + "\n"})
    write(tmp_path, {"given.json": json.dumps({"freight 1 0-0-0": "Porto"})})
    small = ("--epochs", 1, "--tokens", 512, "--max-seq-len", 128, "--stride", 32)
    runs = [shell("improve", code=2)]
    judge(shell, 60, seed=2)
    runs += [
        shell("ask", "vask?"),
        shell("ask", "vask?", "--json"),
        shell("predict", "in.jsonl", "out.jsonl"),
        shell("evaluate", "reader", "squad.json", "--predictions", "read.json"),
        shell("evaluate", "pipeline", "squad.json", "--limit", 4, "--json"),
        shell("train", "question-answering", "squad.json", "--from", "bundled", *small, "--output", "reader"),
        shell("improve", "--json"),
        shell("evaluate", "predictions", "squad.json", "given.json"),
        shell("documents", "list"),
        shell("export", "freight.qa.zip"),
        shell("import", "freight.qa.zip", "--index", "copies"),
        shell("train", "question-answering", "nowhere.json", "--output", "other", code=2),
        shell("documents", "list", code=4, **elsewhere),
        shell("export", "other.qa.zip", code=4, **elsewhere),
        shell("import", "freight.qa.zip", code=4, **elsewhere),
        shell("improve", code=4, **elsewhere),
    ]
    for run in runs:
        assert not leaked(run.stdout + run.stderr), run.args
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and leaked(path.read_bytes())]


@pytest.mark.case("A8")
@pytest.mark.slow
def test_a_server_tells_no_secret(tmp_path: Path) -> None:
    """Neither its log, its answers and what it keeps, nor the list of processes while it works."""
    port, log = free_port(), tmp_path / "log"
    own = {
        "QA_API_KEYS": f"write:{KEY}",
        "QA_API_LOG_QUESTIONS": "true",
        "QA_READER_MODEL": str(save_random_reader(tmp_path / "reader", BUNDLED_FOLDER)),
        "QA_READER_ENGINE": "torch",
        **USER,
    }
    command = [sys.executable, "-m", "qa_app", "serve", "--port", str(port)]
    with log.open("wb") as out, subprocess.Popen(command, env=os.environ | own, stdout=out, stderr=out) as process:
        try:
            with client(f"http://127.0.0.1:{port}", KEY) as api:
                until_it_holds(lambda: status(api, "/live") == 200, "it listens", 120)
                wait_until_ready(str(api.base_url))
                said = [
                    api.post("/file-upload", files={"files": ("ferry.txt", b"The ferry leaves at nine.")}),
                    api.post("/query", json={"query": "When does the ferry leave?"}),
                    api.post("/query", content=b"{", headers={"Content-Type": "application/json"}),
                    api.get("/files", headers={"Authorization": f"Bearer {KEY}x"}),
                    api.get("/nowhere"),
                    api.get("/metrics"),
                ]
                assert [answer.status_code for answer in said] == [200, 200, 400, 401, 404, 200]
                running = psutil.Process(process.pid)
                family = [running, *running.children(recursive=True)]
                assert len(family) > 1, "no child converts"
                listed = [" ".join(one.cmdline()) for one in family]
        finally:
            process.terminate()
            process.wait(60)
    assert "ferry" in log.read_text()
    for text in (*listed, *(answer.text for answer in said)):
        assert not leaked(text)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and leaked(path.read_bytes())]


@pytest.mark.case("A8", "A9")
def test_a_bug_tells_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of an error that nobody foresaw, the client learns an id, and the log has the traceback without the key."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("something that nobody foresaw")

    settings = settings_for(tmp_path / "data", api_keys=f"write:{KEY}")
    with server(settings) as running, caplog.at_level(logging.DEBUG):
        monkeypatch.setattr(type(running.services.store), "query", broken)
        with client(running.url, KEY) as asking:
            answer = asking.post("/search", json={"query": "ferry"})
            pages = [asking.get(path).text for path in ("/metrics", "/openapi.json", "/docs", "/ready")]
        refused = httpx.get(f"{running.url}/files", headers={"Authorization": f"Bearer {KEY}x"})
    assert answer.status_code == 500
    assert "nobody foresaw" not in answer.text
    assert answer.headers["x-request-id"] in answer.text
    assert "nobody foresaw" in caplog.text
    for said in (answer.text, refused.text, caplog.text, *pages):
        assert not leaked(said)


@pytest.mark.case("A8")
def test_settings_are_told_without_secrets() -> None:
    """What Python prints of the settings, as a traceback with locals would, has no secret."""
    code = "from qa_app import settings; print(repr(settings.load()), settings.load())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"QA_API_KEYS": f"write:{KEY}", **USER, "PATH": ""},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Settings(" in done.stdout
    assert not leaked(done.stdout)
