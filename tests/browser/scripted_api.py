"""A server that answers as it is told: what a broken API, or none, would say."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

READY = {"ready": True, "missing": {}, "model": "scripted"}
NO_FACETS: dict[str, Any] = {"facets": [], "files": 1}


class ScriptedApi:
    """What it answers by path: a status and a body, text as it is and anything else as JSON; ``None`` cuts the line."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {
            "/ready": (200, READY),
            "/facets": (200, NO_FACETS),
            "/example-questions": (200, {"questions": []}),
            "/search": (200, {"query": "", "documents": []}),
        }
        #: Seconds before a path is answered.
        self.slow: dict[str, float] = {}
        self.url = ""

    def problem(self, path: str, status: int, message: str = "a reason of its own") -> None:
        """Lets a path fail as the API's own errors look."""
        error = {"code": "code", "message": message, "request_id": "0" * 32}
        self.answers[path] = (status, {"error": error, "errors": [message]})


@contextmanager
def scripted_api() -> Iterator[ScriptedApi]:
    """The server, on a port of its own."""
    api = ScriptedApi()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def answer(self) -> None:
            path = self.path.split("?")[0]
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            time.sleep(api.slow.get(path, 0))
            status, body = api.answers.get(path, (404, "nothing here"))
            if body is None:
                self.close_connection = True
                return
            content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - as the standard library has them

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    api.url = f"http://127.0.0.1:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
