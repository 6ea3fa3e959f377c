"""Keys and passwords, looked for in all that the application writes."""

from __future__ import annotations

import logging
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.conftest import REPOSITORY
from tests.faults.test_api_access import free_port
from tests.ingesting import settings_for, write
from tests.integration.test_cli import Shell
from tests.serving import client, server

KEY = "write-canary-0123456789abcdef"
PASSWORD = "password-canary-0123456789"
USER = {"QA_ELASTICSEARCH_USERNAME": "someone", "QA_ELASTICSEARCH_PASSWORD": PASSWORD}
SECRETS = ("canary-0123456789", "cGFzc3dvcmQtY2FuYXJ5")  # also as a header would have it


def leaked(said: str | bytes) -> bool:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return any(secret in text for secret in SECRETS)


@pytest.mark.case("A8")
@pytest.mark.slow
def test_commands_tell_no_secret(tmp_path: Path) -> None:
    """Neither in reports, help and errors of a server that is away, nor in exports and what lies in the data folder."""
    shell = Shell(tmp_path)
    shell.environment |= {"QA_API_KEYS": f"write:{KEY}", **USER}
    write(tmp_path / "papers", {"ferry.txt": "The ferry leaves at nine."})
    away = f"http://someone:{PASSWORD}@127.0.0.1:{free_port()}"
    elsewhere = {"QA_STORE": "elasticsearch", "QA_ELASTICSEARCH_URL": away, "QA_ELASTICSEARCH_WAIT": "0"}
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
    ]
    for run in runs:
        assert not leaked(run.stdout + run.stderr), run.args
    with zipfile.ZipFile(tmp_path / "papers.qa.zip") as archive:
        assert not any(leaked(archive.read(name)) for name in archive.namelist())
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
