"""Endless and malformed bodies by raw sockets: refused, not kept, and other clients are answered meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.serving import Served, serving
from tests.faults.clients import Reply, client, milliseconds
from tests.faults.table import Figure
from tests.faults.test_large_uploads import MEGABYTE, ON_ITS_WAY, chunks, send

SIZE = 1000
FIELD = b'--b\r\nContent-Disposition: form-data; name="meta"\r\n'


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server as a process, which takes uploads of 20 MB."""
    data = tmp_path_factory.mktemp("floods") / "data"
    with serving(data, "bundled", QA_API_MAX_UPLOAD_MB="20", QA_INGEST_MAX_FILE_MB="10") as made:
        yield made


def json_text() -> Iterator[bytes]:
    yield b'{"query": "'
    for _ in range(SIZE):
        yield b"a" * MEGABYTE


def nested_json() -> Iterator[bytes]:
    for _ in range(SIZE):
        yield b'[{"":' * (MEGABYTE // 5)


def field_without_end() -> Iterator[bytes]:
    yield FIELD + b"\r\n"
    for _ in range(SIZE):
        yield b"a" * MEGABYTE


def preamble() -> Iterator[bytes]:
    for _ in range(SIZE):
        yield b"\r\n" * (MEGABYTE // 2)


def header_without_end() -> Iterator[bytes]:
    yield FIELD + b"X: "
    for _ in range(SIZE):
        yield b"y" * MEGABYTE


def headers_without_end() -> Iterator[bytes]:
    yield FIELD
    for number in range(SIZE):
        yield b"".join(b"X-%d: y\r\n" % (number * 10**5 + n) for n in range(10**5))


def parts_without_end() -> Iterator[bytes]:
    for _ in range(SIZE):
        yield (FIELD + b"\r\n{}\r\n") * (MEGABYTE // 60)


def almost_boundaries() -> Iterator[bytes]:
    yield FIELD + b"\r\n"
    for _ in range(SIZE):
        yield b"\r\n--" * (MEGABYTE // 4)


def epilogue() -> Iterator[bytes]:
    yield FIELD + b"\r\n{}\r\n--b--\r\n"
    for _ in range(SIZE):
        yield b"\r\n" * (MEGABYTE // 2)


@pytest.mark.case("B7", "B8")
@pytest.mark.parametrize(
    ("body", "kind", "statuses"),
    [
        (json_text, "application/json", {413}),
        (nested_json, "application/json", {413}),
        (field_without_end, "multipart/form-data; boundary=b", {413}),
        (preamble, "multipart/form-data; boundary=b", {400}),
        (header_without_end, "multipart/form-data; boundary=b", {413}),
        (headers_without_end, "multipart/form-data; boundary=b", {413}),
        (parts_without_end, "multipart/form-data; boundary=b", {413}),
        (almost_boundaries, "multipart/form-data; boundary=b", {413}),
        (epilogue, "multipart/form-data; boundary=b", {400, 413, 422}),
    ],
)
def test_a_flood_is_refused_and_harms_nobody(
    served: Served, body: Callable[[], Iterator[bytes]], kind: str, statuses: set[int], figure: Figure
) -> None:
    """A body that would never end is answered soon, takes no memory, and a second client hardly notices."""
    path = "/query" if "json" in kind else "/file-upload"
    header = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
    before = served.process.memory_info().rss
    done = threading.Event()
    replies: list[Reply] = []
    watching = threading.Thread(target=lambda: replies.extend(asyncio.run(watch(served.url, done))))
    watching.start()
    try:
        results = [send(served.url, header.encode(), chunks(body())) for _ in range(3)]
    finally:
        done.set()
        watching.join()
    assert {status for status, _ in results} <= statuses
    assert max(sent for _, sent in results) < 20 + ON_ITS_WAY
    assert served.process.memory_info().rss - before < 100 * MEGABYTE
    assert {reply.status for reply in replies} == {200}
    figure(f"{body.__name__}: MB sent until refused", round(max(sent for _, sent in results), 1))
    figure(f"{body.__name__}: /live of another client meanwhile", milliseconds(replies))
    assert httpx.get(f"{served.url}/ready").status_code == 200


async def watch(url: str, done: threading.Event) -> list[Reply]:
    """The replies to ``/live``, asked again and again until ``done``."""
    replies = []
    async with client(url) as asking:
        while not done.is_set() or not replies:
            answer = await asking.get("/live")
            replies.append(Reply(answer.status_code, answer.elapsed.total_seconds(), {}, None))
            await asyncio.sleep(0.01)
    return replies


@pytest.mark.case("B8", "B11")
def test_nothing_is_left_of_them(served: Served) -> None:
    """No part of a refused body lies in the data folder."""
    data = Path(served.process.environ()["QA_DATA_DIR"])
    assert not [path for path in data.rglob("*") if "incoming" in path.name]
    assert httpx.get(f"{served.url}/files").json()["total"] == 0
