"""Group B: hostile and broken requests cost only themselves."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from qa_app.api import protection
from qa_app.api import server as server_module
from tests.faults.table import Figure
from tests.ingesting import ingesting, settings_for, write
from tests.serving import Server, client, server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one document and small limits."""
    folder = tmp_path_factory.mktemp("input")
    settings = settings_for(folder / "data", api_max_upload_mb=3, ingest_max_file_mb=2)
    with ingesting(settings) as ingest:
        ingest(write(folder / "documents", {"a.txt": "The lighthouse keeper is called Ada."}))
    with server(settings) as made:
        yield made


@pytest.fixture
def api(running: Server) -> Iterator[httpx.Client]:
    """A client; after each test the server is ready and holds what it held."""
    with client(running.url) as made:
        yield made
        assert made.get("/ready").status_code == 200
        assert running.services.store.get_document_count() == 1
        assert not list(running.services.settings.data_path.glob("jobs/.incoming-*"))


def exchange(url: str, request: bytes, seconds: float = 20) -> bytes:
    """What the server sends back to raw bytes, until it closes or nothing more comes."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=seconds) as connection:
        with contextlib.suppress(OSError):  # it may have answered and closed already
            connection.sendall(request)
        received = b""
        try:
            while piece := connection.recv(65536):
                received += piece
                if b"\r\n\r\n" in received and b"connection: close" not in received.lower():
                    break
        except OSError:
            pass
    return received


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.case("B7")
def test_a_body_over_the_limit_is_not_read_on(api: httpx.Client) -> None:
    """A JSON body over a megabyte is 413, with its length given or in endless chunks."""
    large = b'{"query": "' + b"a" * 2**21 + b'"}'
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        yield b'{"query": "'
        while sent < 100 * 2**20:
            sent += 2**16
            yield b"a" * 2**16

    headers = {"Content-Type": "application/json"}
    assert api.post("/query", content=large, headers=headers).status_code == 413
    with contextlib.suppress(httpx.WriteError):  # it may close while we are still sending, which is as good
        assert api.post("/query", content=chunks(), headers=headers).status_code == 413
    assert sent < 50 * 2**20


@pytest.mark.case("B7", "B9")
@pytest.mark.parametrize("path", ["/query", "/files", "/file-upload", "/feedback", "/predict", "/documents/delete_all"])
@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "text/plain", "application/xml", "multipart/mixed; boundary=x", ""]
)
def test_bodies_of_other_kinds_are_refused_before_parsing(api: httpx.Client, path: str, kind: str) -> None:
    """What is not sent as the kind that an operation takes is 415, whatever it holds."""
    body = b"a=1&" * 1000 if "form" in kind else b'{"query": "a"}'
    answer = api.post(path, content=body, headers={"Content-Type": kind} if kind else {})
    assert answer.status_code == 415, answer.text


@pytest.mark.case("B10")
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("GET", "//query", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET", "/docs/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/docs/%2e%2e", 404),
        ("GET", "/files/%00", 404),
        ("GET", "/files/%2e%2e", 404),
        ("GET", "/files/..%2f..%2fstore.sqlite/original", 404),
        ("GET", "/jobs/..%2f..%2fstore.sqlite", 404),
        ("GET", "/jobs/%2e%2e", 404),
        ("GET", "/query", 405),
        ("PUT", "/query", 405),
        ("DELETE", "/query", 405),
        ("PATCH", "/files/x", 405),
        ("TRACE", "/live", 405),
        ("GET", "/files?limit=0", 422),
        ("GET", "/files?limit=x", 422),
        ("GET", "/files?index=%ff", 404),
        ("GET", "/files?index=../x", 404),
    ],
)
def test_odd_addresses_have_the_same_kind_of_answer(api: httpx.Client, method: str, path: str, status: int) -> None:
    """Unknown addresses, methods and parts are refused with our error body."""
    answer = api.request(method, path)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"]
    if status == 405:
        assert answer.headers["allow"]


def multipart(*parts: bytes, boundary: bytes = b"b") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


FILE = b'Content-Disposition: form-data; name="files"; filename="x.txt"\r\n\r\ntext of the file'
KIND = "multipart/form-data; boundary=b"


@pytest.mark.case("B8", "F10")
@pytest.mark.parametrize("path", ["/files", "/file-upload"])
@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("multipart/form-data", multipart(FILE), 400),
        ("multipart/form-data; boundary=", multipart(FILE), 400),
        ("multipart/form-data; boundary=other", multipart(FILE), 400),
        (f"multipart/form-data; boundary={'b' * 2000}", multipart(FILE), 400),
        ('multipart/form-data; boundary="b\\"; x="' + "\\" * 2000, multipart(FILE), 400),
        (KIND, b"", 400),
        (KIND, multipart(FILE)[:-10], 400),
        (KIND, b"\r\n" * 500_000 + multipart(FILE), 400),
        (KIND, multipart(), 422),
        (KIND, multipart(b'Content-Disposition: form-data; name="meta"\r\n\r\n{}'), 422),
        (KIND, multipart(*[b'Content-Disposition: form-data; name="meta"\r\n\r\n{}'] * 10_000), 413),
        (KIND, multipart(b"".join(b"X-%d: y\r\n" % n for n in range(10_000)) + FILE), 413),
        (KIND, multipart(b"X: " + b"y" * 100_000 + b"\r\n" + FILE), 413),
        (KIND, multipart(b'Content-Disposition: form-data; name="meta"\r\n\r\n' + b"a" * 2**20, FILE), 413),
        (KIND, multipart(FILE, b'Content-Disposition: form-data; name="meta"\r\n\r\nnot json'), 422),
        (KIND, multipart(FILE, b'Content-Disposition: form-data; name="meta"\r\n\r\n[1]'), 422),
        (KIND, multipart(FILE, b'Content-Disposition: form-data; name="meta"\r\n\r\n\xff'), 422),
        (KIND, multipart(FILE, b'Content-Disposition: form-data; name="unknown"\r\n\r\nx'), 422),
        (KIND, multipart(FILE.replace(b'"files"', b'"other"')), 422),
        (KIND, multipart(FILE.replace(b'; filename="x.txt"', b"")), 422),
        (KIND, multipart(FILE + b"a" * (2 * 2**20 + 1)), 413),
        (KIND, multipart(FILE + b"a" * (4 * 2**20)), 413),
    ],
)
def test_broken_forms(api: httpx.Client, path: str, kind: str, body: bytes, status: int) -> None:
    """B8, F10: broken, endless and oversized forms are refused, and nothing of them stays on the disk."""
    answer = api.post(path, content=body, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text[:300]


@pytest.mark.case("B15")
@pytest.mark.parametrize(
    "meta",
    [
        {f"key{n}": n for n in range(10_000)},
        {"k" * 1000: 1},
        {"key": "v" * 5000},
        {"key": "v" * 200_000},
        {"nested": {"a": 1}},
        {"content": {"text": "x"}},
        {"file_id": "x"},
        {"": 1},
        {"$and": 1},
        {"key": "a\x00b"},
    ],
)
def test_unfit_metadata_is_refused(api: httpx.Client, meta: dict[str, object]) -> None:
    """Metadata that are too many, too long, nested, or ours are 422, and the file is not taken."""
    answer = api.post("/file-upload", files={"files": ("x.txt", b"text")}, data={"meta": json.dumps(meta)})
    assert answer.status_code in (413, 422), answer.text


@pytest.mark.case("B8", "B11")
def test_negative_lengths_and_smuggled_headers(running: Server, api: httpx.Client) -> None:
    """Contradicting or impossible headers are refused by the server itself, without a crash."""
    start = b"POST /query HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    for rest in (
        b"Content-Length: -5\r\n\r\n{}",
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"Content-Length: x\r\n\r\n{}",
        b"X-Large: " + b"a" * 100_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
        b"".join(b"X-%d: %s\r\n" % (n, b"a" * 100) for n in range(1000)) + b"Content-Length: 2\r\n\r\n{}",
        b"Bad\x00Name: x\r\nContent-Length: 2\r\n\r\n{}",
        b"X: a\rb\r\nContent-Length: 2\r\n\r\n{}",
    ):
        assert 400 <= status_of(exchange(running.url, start + rest)) < 500, rest[:60]


@pytest.mark.case("B11")
def test_what_a_proxy_might_say_is_not_believed(
    running: Server, api: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Overridden methods and forwarded addresses change nothing, and no path writes a log line of its own."""
    headers = {"X-HTTP-Method-Override": "DELETE", "X-Forwarded-For": "10.9.8.7", "X-Forwarded-Host": "evil.example"}
    with caplog.at_level(logging.INFO, "qa_app.api"):
        assert api.get("/files", headers=headers).status_code == 200
        assert api.get("/nope%0d%0aINFO%20forged").status_code == 404
        until = time.monotonic() + 60
        while not any("/nope" in line for line in _logged(caplog)):  # after the answer
            assert time.monotonic() < until
            time.sleep(0.01)
    assert not any("10.9.8.7" in line for line in _logged(caplog))
    assert not any(line.startswith("INFO") for line in _logged(caplog)), "one request is one line"


def _logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines that the API wrote into the log; its clients write some of their own."""
    return [line for one in caplog.records if one.name == "qa_app.api" for line in one.getMessage().splitlines()]


@contextmanager
def trickling(connections: Sequence[socket.socket]) -> Iterator[None]:
    """Sends a byte on each of ``connections`` now and then, as a client does that wants to keep its place."""
    done = threading.Event()

    def trickle() -> None:
        while not done.wait(0.2):
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.send(b" ")

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.case("B12")
def test_slow_bodies_are_given_up(
    running: Server, api: httpx.Client, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    """Clients that send a body byte by byte are let go after the deadline, and others are answered meanwhile."""
    monkeypatch.setattr(protection, "BODY_SECONDS", 1.0)
    parts = urlsplit(running.url)
    with contextlib.ExitStack() as opened:
        slow = [
            opened.enter_context(socket.create_connection((parts.hostname, parts.port or 80), timeout=60))
            for _ in range(200)
        ]
        for connection in slow:
            connection.sendall(
                b"POST /query HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Content-Length: 90000\r\n\r\n{"
            )
        with trickling(slow):
            assert api.post("/query", json={"query": "Who keeps the lighthouse?"}).status_code == 200
            assert [status_of(connection.recv(65536)) for connection in slow] == [408] * 200
    figure("bodies sent byte by byte, given up", len(slow))


@pytest.mark.case("B12")
def test_large_bodies_may_take_their_time(running: Server, api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that keeps coming is read to its end, however much longer than the deadline it takes."""
    monkeypatch.setattr(protection, "BODY_SECONDS", 1.0)

    def pieces() -> Iterator[bytes]:
        yield b'{"query": "Who keeps the lighthouse?"'
        for _ in range(8):
            time.sleep(0.3)
            yield b" " * 4096
        yield b"}"

    headers = {"Content-Type": "application/json"}
    assert api.post("/query", content=pieces(), headers=headers).status_code == 200


@pytest.mark.case("B12")
def test_slow_headers_are_given_up(
    running: Server, api: httpx.Client, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    """Connections that never finish their headers, first or later ones, are closed; others are answered."""
    monkeypatch.setattr(server_module, "HEADER_SECONDS", 1.0)
    parts = urlsplit(running.url)
    with contextlib.ExitStack() as opened:
        slow = [
            opened.enter_context(socket.create_connection((parts.hostname, parts.port or 80), timeout=60))
            for _ in range(200)
        ]
        for number, connection in enumerate(slow):
            if number % 2:
                connection.sendall(b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                answer = b""
                while not answer.endswith(b"}"):
                    answer += connection.recv(65536)
                assert status_of(answer) == 200
            connection.sendall(b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        with trickling(slow):
            assert api.post("/query", json={"query": "Who keeps the lighthouse?"}).status_code == 200
            for connection in slow:
                with contextlib.suppress(ConnectionResetError):  # what was sent after the end is answered so
                    assert connection.recv(65536) == b""
    figure("headers that never end, given up", len(slow))


@pytest.mark.case("B8", "B18")
def test_a_client_that_goes_away_in_mid_body_is_no_bug(
    running: Server, api: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Bodies that break off are a line in the log each, and no error of ours."""
    parts = urlsplit(running.url)
    with caplog.at_level(logging.INFO, "qa_app.api"):
        for path, kind in (("/query", "application/json"), ("/files", "multipart/form-data; boundary=x")):
            with socket.create_connection((parts.hostname, parts.port or 80)) as connection:
                connection.sendall(
                    f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
                    f"Content-Length: 9000\r\n\r\n--x".encode()
                )
        until = time.monotonic() + 60
        while not all(any(path in line for line in _logged(caplog)) for path in ("/query", "/files")):
            assert time.monotonic() < until
            time.sleep(0.01)
    assert not [one for one in caplog.records if one.name == "qa_app.api" and one.levelno >= logging.WARNING]


@pytest.mark.case("B18")
def test_a_client_that_goes_away_frees_its_place(running: Server, api: httpx.Client, figure: Figure) -> None:
    """Questions whose askers have gone are not read: the queue is empty long before it would be if they were."""
    parts = urlsplit(running.url)
    context = "The lighthouse keeper is called Ada, and nobody else climbs the stairs at night. " * 1200
    body = json.dumps({"inputs": {"question": "Who keeps the lighthouse?", "context": context}}).encode()

    def read_one() -> float:
        started = time.monotonic()
        answer = api.post("/predict", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 200, answer.text
        return time.monotonic() - started

    read_one()  # the first one of its size is read twice
    alone = read_one()
    started = time.monotonic()
    for _ in range(12):
        with socket.create_connection((parts.hostname, parts.port or 80)) as connection:
            connection.sendall(
                b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            time.sleep(0.05)
    while True:
        gauges = api.get("/metrics").text
        if "qa_app_queue_waiting 0.0" in gauges and "qa_app_queue_reading 0.0" in gauges:
            break
        assert time.monotonic() - started < 60
        time.sleep(0.02)
    took = time.monotonic() - started
    assert took < 6 * alone + 1, "twelve readings would take twice as long"
    figure("readings' time until twelve places were free", f"{took / alone:.1f}")
