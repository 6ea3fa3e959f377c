"""A proxy before a real Elasticsearch server, which loses what it is told to lose."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

#: Parts of paths of requests that change nothing, whatever their method.
_READING = {"_search", "_mget", "_pit", "_refresh"}
_OF_THE_CONNECTION = {"connection", "content-length", "transfer-encoding", "keep-alive"}


class ElasticsearchProxy:
    """Passes requests on; ``losing`` is called with the number of each bulk request and says what becomes of it.

    It returns "request" where the server shall never see it, "answer" where the server does the work and nobody hears
    of it, and "" where all is well. ``writes`` counts the requests that change anything, bulk requests among them.
    """

    def __init__(self, server: str, losing: Callable[[int], str]) -> None:
        self._server = urlsplit(server).netloc
        self._losing = losing
        self._lock = threading.Lock()
        self.bulks = 0
        self.writes = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.server_port}"

    def __enter__(self) -> ElasticsearchProxy:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65_537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                proxy._pass_on(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._listener.daemon_threads = True
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()

    def _pass_on(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        lost = ""
        parts = request.path.partition("?")[0].split("/")
        if request.command not in {"GET", "HEAD"} and not _READING & set(parts):
            with self._lock:
                self.writes += 1
        if parts[-1] == "_bulk":
            with self._lock:
                self.bulks += 1
                number = self.bulks
            lost = self._losing(number)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OF_THE_CONNECTION}
        server = http.client.HTTPConnection(self._server, timeout=60)
        try:
            if lost == "request":
                raise ConnectionResetError
            server.request(request.command, request.path, body, headers)
            answer = server.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            lost = "answer"
        finally:
            server.close()
        if lost:
            request.close_connection = True
            return
        request.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _OF_THE_CONNECTION:
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content)
        request.wfile.flush()
