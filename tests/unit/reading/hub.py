"""A hub on this machine, as much of one as huggingface_hub asks for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "team/tiny-reader"


class Hub(ThreadingHTTPServer):
    """Serves the files of ``folder`` as the model :data:`NAME`; ``behaviour`` is "serve", "absent", "broken", "hang".

    ``requests`` are the paths that were asked for. With ``hang_at`` only requests for such a file hang.
    """

    daemon_threads = True

    def __init__(self, folder: Path, behaviour: str, hang_at: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.behaviour = behaviour
        self.hang_at = hang_at
        self.requests: list[str] = []
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def hub(folder: Path, behaviour: str = "serve", hang_at: str = "") -> Iterator[Hub]:
    """A running hub, stopped at the end, with whatever hangs let go."""
    server = Hub(folder, behaviour, hang_at)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        self.server.requests.append(path)
        if self.server.behaviour == "hang" or (self.server.hang_at and path.endswith(self.server.hang_at)):
            # Long enough for any client to give up, and let go when the test is over.
            self.server.ended.wait(300)
            return
        if self.server.behaviour == "broken":
            self._send(500, b"{}", {}, body)
            return
        if self.server.behaviour == "absent":
            self._send(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"}, body)
            return
        files = {
            file.relative_to(self.server.folder).as_posix() for file in self.server.folder.rglob("*") if file.is_file()
        }
        if path in (f"/api/models/{NAME}", f"/api/models/{NAME}/revision/main"):
            siblings = [{"rfilename": name} for name in sorted(files)]
            information = {
                "id": NAME,
                "sha": COMMIT,
                "siblings": siblings,
                "private": False,
                "tags": [],
                "downloads": 0,
            }
            self._send(200, json.dumps(information).encode(), {"Content-Type": "application/json"}, body)
            return
        for prefix in (f"/{NAME}/resolve/main/", f"/{NAME}/resolve/{COMMIT}/"):
            name = path.removeprefix(prefix)
            if name in files:
                content = (self.server.folder / name).read_bytes()
                digest = hashlib.sha256(content).hexdigest()
                self._send(200, content, {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT}, body)
                return
        self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"}, body)

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)


def fill_cache(cache: Path, folder: Path, name: str = NAME, leave_out: frozenset[str] = frozenset()) -> Path:
    """The hub's cache with the files of ``folder`` as a model of that name; gives its snapshot's folder."""
    repository = cache / ("models--" + name.replace("/", "--"))
    snapshot = repository / "snapshots" / COMMIT
    blobs = repository / "blobs"
    for made in (snapshot, blobs, repository / "refs"):
        made.mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text(COMMIT)
    for file in folder.iterdir():
        if file.name not in leave_out:
            blob = blobs / hashlib.sha256(file.read_bytes()).hexdigest()
            blob.write_bytes(file.read_bytes())
            (snapshot / file.name).symlink_to(blob)
    return snapshot
