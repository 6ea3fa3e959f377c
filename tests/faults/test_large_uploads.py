"""Uploads of half a gigabyte: refused at the limit, not read on, and nothing of them is kept."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.faults.table import Figure
from tests.ingesting import settings_for
from tests.serving import Server, client, server

MEGABYTE = 2**20
LIMIT, FILE_LIMIT, SIZE = 40, 20, 500
#: What the buffers of both ends hold when the answer comes.
ON_ITS_WAY = 30
HEAD = b'--b\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n'


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes uploads of 40 MB, and files of 20 MB."""
    data = tmp_path_factory.mktemp("large") / "data"
    with server(settings_for(data, api_max_upload_mb=LIMIT, ingest_max_file_mb=FILE_LIMIT)) as made:
        yield made


def send(url: str, header: bytes, pieces: Iterator[bytes]) -> tuple[int, float]:
    """The status that a body is answered with, and the megabytes sent until the answer came."""
    parts = urlsplit(url)
    sent = 0
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=60) as connection:
        connection.sendall(header)
        with contextlib.suppress(OSError):  # it may have answered and closed already
            for piece in pieces:
                if select.select([connection], [], [], 0)[0]:
                    break
                connection.sendall(piece)
                sent += len(piece)
        return int(connection.recv(4096).split(b" ", 2)[1]), sent / MEGABYTE


def chunks(body: Iterator[bytes]) -> Iterator[bytes]:
    for piece in body:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def one_file() -> Iterator[bytes]:
    yield HEAD % b"a.txt"
    for _ in range(SIZE):
        yield b"word " * (MEGABYTE // 5)


def many_files() -> Iterator[bytes]:
    """Each below the limit of a file, together over that of an upload."""
    for number in range(SIZE // 10):
        yield HEAD % b"%d.txt" % number
        for _ in range(10):
            yield b"word " * (MEGABYTE // 5)
        yield b"\r\n"


@pytest.mark.case("F10")
@pytest.mark.parametrize("path", ["/files", "/file-upload"])
@pytest.mark.parametrize(
    ("length", "body", "bound"),
    [
        (True, one_file, 0),
        (False, one_file, FILE_LIMIT),
        (False, many_files, LIMIT),
    ],
    ids=["length given", "one file in chunks", "many files in chunks"],
)
def test_f10_half_a_gigabyte(
    running: Server, path: str, length: bool, body: Callable[[], Iterator[bytes]], bound: int, figure: Figure
) -> None:
    """With its length given it is refused at once, in chunks at the limit; memory and disk stay as they were."""
    data = running.services.settings.data_path
    process = psutil.Process()
    before, files = process.memory_info().rss, _left(data)
    kind = b"Content-Length: %d" % (SIZE * MEGABYTE) if length else b"Transfer-Encoding: chunked"
    header = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n%s\r\n\r\n"
    status, sent = send(running.url, header % (path.encode(), kind), body() if length else chunks(body()))
    figure(f"MB of 500 sent until refused at {bound} MB", round(sent))
    assert status == 413
    assert sent < bound + ON_ITS_WAY
    assert process.memory_info().rss - before < 60 * MEGABYTE
    assert _left(data) == files
    with client(running.url) as api:
        assert api.get("/ready").status_code == 200
        assert api.get("/files").json()["files"] == []


def _left(data: Path) -> set[Path]:
    return {path for path in data.rglob("*") if path.is_file() and "store" not in path.name}
