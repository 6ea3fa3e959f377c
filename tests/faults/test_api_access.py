"""Group A: who may ask what, from where; and what nobody is told."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from qa_app.api.app import create_app
from qa_app.api.keys import SCOPES, FailureLimit
from qa_app.api.services import Services
from qa_app.errors import SettingsError
from qa_app.settings import Settings
from tests.ingesting import settings_for
from tests.serving import Server, client, server

KEYS = {"read": "read-0123456789abcdef", "write": "write-0123456789abcdef", "admin": "admin-0123456789abcdef"}


def keyed(folder: Path, **overrides: Any) -> Settings:
    keys = ",".join(f"{scope}:{key}" for scope, key in KEYS.items())
    return settings_for(folder, api_keys=keys, **overrides)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a key of each scope."""
    with server(keyed(tmp_path_factory.mktemp("guarded")), ready=False) as running:
        yield running


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without keys."""
    with server(settings_for(tmp_path_factory.mktemp("keyless")), ready=False) as running:
        yield running


def routes(server: Server) -> Iterator[tuple[str, str, str]]:
    """Every operation: method, address with its parts filled in, scope."""
    for route in server.app.app.routes:
        for method, (handler, _) in route.route_handler_map.items():
            if method != "OPTIONS":
                path = route.path_format.replace("{page}", "1")
                yield str(method), re.sub(r"\{\w+\}", "x", path), handler.opt["scope"]


@pytest.mark.case("A3")
def test_every_route_has_a_scope(guarded: Server) -> None:
    """A new operation without a scope fails here; only these are open to all."""
    found = list(routes(guarded))
    assert len(found) > 25
    assert {scope for _, _, scope in found} <= {"open", *SCOPES}
    assert {path for _, path, scope in found if scope == "open"} == {"/live", "/ready", "/initialized"}


@pytest.mark.case("A1", "A3")
def test_every_route_asks_for_its_key(guarded: Server) -> None:
    """Without a key every operation is 401; with a key of a lesser scope 403; both say nothing else."""
    for method, path, scope in routes(guarded):
        if scope == "open":
            continue
        answer = httpx.request(method, guarded.url + path)
        assert answer.status_code == 401, (method, path)
        assert "Bearer" in answer.headers["www-authenticate"]
        assert answer.json()["error"]["code"] == "unauthenticated"
        for lesser in SCOPES[: SCOPES.index(scope)]:
            with client(guarded.url, KEYS[lesser]) as asking:
                assert asking.request(method, path).status_code == 403, (method, path, lesser)
        with client(guarded.url, KEYS[scope]) as asking:
            assert asking.request(method, path).status_code not in (401, 403), (method, path)


@pytest.mark.case("A3")
def test_scopes_of_what_changes_and_what_tells(guarded: Server) -> None:
    """Uploading, deleting and feedback's export are not open to a read key; emptying an index is the admin's."""
    scopes = {(method, path): scope for method, path, scope in routes(guarded)}
    for operation in (
        ("POST", "/file-upload"),
        ("POST", "/files"),
        ("DELETE", "/files/x"),
        ("POST", "/documents/delete_by_filters"),
        ("GET", "/export-feedback"),
    ):
        assert scopes[operation] == "write"
    assert scopes["POST", "/documents/delete_all"] == scopes["DELETE", "/feedback"] == "admin"


WRONG: list[list[tuple[str, Any]]] = [
    [],
    [("Authorization", "")],
    [("Authorization", "Bearer")],
    [("Authorization", "Bearer wrong-0123456789abcdef")],
    [("Authorization", f"Bearer {KEYS['read'].upper()}")],
    [("Authorization", f"Bearer {KEYS['read']}x")],
    [("Authorization", f"Token {KEYS['read']}")],
    [("Authorization", b"Bearer \xc3\xa4\xc3\xb6\xc3\xbc-0123456789abcdef")],
    [("Authorization", f"Bearer {KEYS['read']}"), ("Authorization", f"Bearer {KEYS['read']}")],
    [("X-API-Key", KEYS["read"]), ("Authorization", f"Bearer {KEYS['read']}")],
]


@pytest.mark.case("A1", "A2", "A3")
def test_wrong_keys_are_all_alike(guarded: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """On every route, none, empty, wrong, of other case, not ASCII or sent twice: the same 401, but for its id."""
    monkeypatch.setattr(FailureLimit, "failed", lambda limit, peer: 0)  # it would make them differ after the twentieth
    for method, path, scope in routes(guarded):
        if scope == "open":
            continue
        told = set()
        for headers in WRONG:
            answer = httpx.request(method, guarded.url + path, headers=headers)
            assert answer.status_code == 401, (method, path, headers)
            assert "Bearer" in answer.headers["www-authenticate"]
            told.add(answer.text.replace(answer.headers["x-request-id"], "ID"))
        assert len(told) == 1, (method, path)


@pytest.mark.case("A7")
def test_wrong_keys_are_slowed_down_and_right_ones_are_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each failure is one log line with the peer's address; after twenty in a minute it is 429, a right key 200."""
    with server(keyed(tmp_path), ready=False) as running, caplog.at_level(logging.WARNING, "qa_app.api"):
        with client(running.url, "wrong-0123456789abcdef") as guessing:
            statuses = [guessing.get("/files").status_code for _ in range(22)]
            last = guessing.get("/files")
        assert statuses[:20] == [401] * 20
        assert statuses[20:] == [429] * 2
        assert int(last.headers["retry-after"]) > 0
        with client(running.url, KEYS["read"]) as asking:
            assert asking.get("/openapi.json").status_code == 200
    failures = [record for record in caplog.records if "no valid API key from 127.0.0.1" in record.getMessage()]
    assert len(failures) == 23


@pytest.mark.case("A9")
def test_a_browser_can_open_the_docs_with_a_key(guarded: Server) -> None:
    """/docs and /openapi.json ask for a key as everything else; a browser gives it as a password."""
    for path in ("/docs", "/openapi.json"):
        answer = httpx.get(guarded.url + path)
        assert answer.status_code == 401
        assert "Basic" in answer.headers["www-authenticate"]
        assert httpx.get(guarded.url + path, auth=("any", KEYS["read"])).status_code == 200


def test_another_sites_page_cannot_use_the_browsers_key(guarded: Server) -> None:
    """A form on another site that a browser sends with its remembered key is refused."""
    sent = {"auth": ("any", KEYS["write"]), "files": {"files": ("x.txt", b"text")}}
    answer = httpx.post(f"{guarded.url}/files", headers={"Origin": "https://evil.example"}, **sent)  # type: ignore[arg-type]
    assert answer.status_code == 403


def test_without_keys_only_this_machine_asks(keyless: Server) -> None:
    """Without keys, a page whose name was pointed here (another Host), or another site's form, is refused."""
    assert httpx.get(f"{keyless.url}/live").status_code == 200
    assert httpx.get(f"{keyless.url}/live", headers={"Host": "evil.example"}).status_code == 403
    port = keyless.url.rpartition(":")[2]
    assert httpx.get(f"{keyless.url}/live", headers={"Host": f"localhost:{port}"}).status_code == 200
    form = {"files": ("x.txt", b"text")}
    for origin in ("https://evil.example", "null", f"http://localhost:{int(port) + 1}"):
        answer = httpx.post(f"{keyless.url}/files", files=form, headers={"Origin": origin})
        assert answer.status_code == 403, origin
    same = httpx.post(f"{keyless.url}/search", json={"query": "a"}, headers={"Origin": keyless.url})
    assert same.status_code != 403


@pytest.mark.case("A6")
def test_no_cors_unless_configured(keyless: Server, tmp_path: Path) -> None:
    """No origin is allowed by default; a configured one is, another is not, and none with credentials."""
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = httpx.options(f"{keyless.url}/query", headers=preflight)
    assert "access-control-allow-origin" not in answer.headers
    with server(keyed(tmp_path, api_cors_origins="https://intranet.example"), ready=False) as running:
        answer = httpx.options(f"{running.url}/query", headers=preflight)
        assert "access-control-allow-origin" not in answer.headers
        answer = httpx.options(f"{running.url}/query", headers={**preflight, "Origin": "https://intranet.example"})
        assert answer.headers["access-control-allow-origin"] == "https://intranet.example"
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.case("A6")
@pytest.mark.parametrize("origins", ["*", "intranet", "https://*.example", "https://a.example/path", "file://x"])
def test_origins_are_named(tmp_path: Path, origins: str) -> None:
    """A wildcard or something that is no origin is a settings error."""
    with pytest.raises(SettingsError):
        create_app(Services(settings_for(tmp_path, api_cors_origins=origins)))


def test_every_response_has_security_headers(keyless: Server) -> None:
    """Answers and errors alike are never sniffed, framed, cached or run as pages."""
    for path in ("/live", "/nope", "/files/x", "/docs"):
        headers = httpx.get(keyless.url + path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-request-id"]


def test_docs_need_nothing_from_outside(keyless: Server) -> None:
    """The docs page and what it loads come from this server; its policy lets nothing else in."""
    page = httpx.get(f"{keyless.url}/docs")
    assert "http" not in page.text.replace("<!doctype html>", "")
    for asset in ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png", "start.js"):
        assert f"docs/{asset}" in page.text or asset == "start.js"
        assert httpx.get(f"{keyless.url}/docs/{asset}").status_code == 200
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "http" not in policy


@pytest.mark.case("A9")
def test_a_bug_tells_nothing_but_its_id(
    keyless: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An unforeseen error is 500 with the request's id; traceback and cause are in the log alone."""

    def broken() -> dict[str, str]:
        raise RuntimeError("/secret/path exploded")

    monkeypatch.setattr(keyless.services, "missing", broken)
    answer = httpx.get(f"{keyless.url}/ready")
    assert answer.status_code == 500
    assert "exploded" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.json()["error"]["request_id"] in caplog.text
    assert "exploded" in caplog.text


def run_serve(*arguments: str, data: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "qa_app", "serve", *arguments],
        env={**os.environ, "QA_DATA_DIR": str(data), "QA_READER_MODEL": "bundled", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=data,
    )


@pytest.mark.case("A5")
@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["--host", "0.0.0.0"], {}, "QA_API_KEYS"),
        (["--host", "::"], {}, "--insecure-no-auth"),
        ([], {"QA_API_HOST": "0.0.0.0"}, "QA_API_KEYS"),
        (["--host", "0.0.0.0"], {"QA_API_KEYS": "admin:short"}, "16 bytes"),
        ([], {"QA_API_KEYS": "0123456789abcdef"}, "scope"),
    ],
)
def test_unprotected_is_refused(tmp_path: Path, arguments: list[str], environment: dict[str, str], said: str) -> None:
    """Listening for other machines without keys, or with keys that can be guessed, ends with 2 and the way out."""
    process = run_serve(*arguments, "--port", "0", data=tmp_path, **environment)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said in error


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.case("A4", "A8", "E15")
@pytest.mark.slow
def test_the_process_from_start_to_end(tmp_path: Path) -> None:
    """It listens on this machine alone, never prints its keys, and SIGTERM ends it with 0."""
    port = free_port()
    process = run_serve("--port", str(port), data=tmp_path, QA_API_KEYS=f"admin:{KEYS['admin']}")
    try:
        until = time.monotonic() + 60
        while True:
            try:
                assert httpx.get(f"http://127.0.0.1:{port}/live").status_code == 200
                break
            except httpx.TransportError:
                assert time.monotonic() < until
                assert process.poll() is None
                time.sleep(0.1)
        listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
        mine = [
            line.split()[1]
            for line in listening
            if line.split()[1].endswith(f":{port:04X}") and "0A" in line.split()[3]
        ]
        assert mine == [f"0100007F:{port:04X}"]
        with client(f"http://127.0.0.1:{port}", KEYS["admin"]) as asking:
            while asking.get("/ready").status_code != 200:
                assert time.monotonic() < until + 60
                time.sleep(0.2)
            asking.post("/query", json={"query": "Who keeps the secret question?"})
            metrics = asking.get("/metrics").text
        assert KEYS["admin"] not in Path(f"/proc/{process.pid}/cmdline").read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert KEYS["admin"] not in out + error + metrics
    assert "secret question" not in out + error


def test_a_second_server_on_a_port_is_told_so(tmp_path: Path) -> None:
    """A port that is taken ends the command with 2 and the option to choose another."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = run_serve("--port", str(taken.getsockname()[1]), data=tmp_path)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--port" in error
    assert "Traceback" not in error
