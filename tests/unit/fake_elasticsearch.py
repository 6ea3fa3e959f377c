"""A scripted server that speaks enough of Elasticsearch's protocol to misbehave on demand."""

from __future__ import annotations

import json
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass
class Answer:
    """What to answer instead of the usual; ``drop`` cuts the connection after the work is done."""

    status: int = 200
    body: Any = None
    drop: bool = False
    delay: float = 0.0


@dataclass
class Item:
    """What becomes of one operation of a bulk request instead of success."""

    status: int
    kind: str = "es_rejected_execution_exception"
    reason: str = "queue is full"


@dataclass
class FakeElasticsearch:
    """``script`` holds answers per last part of the path, ``items`` those per document's id; each is used once."""

    version: str = "8.19.0"
    product: bool = True
    tls: ssl.SSLContext | None = None
    script: dict[str, list[Answer]] = field(default_factory=dict)
    items: dict[str, list[Item]] = field(default_factory=dict)
    largest: int = 100_000_000
    documents: dict[str, Any] = field(default_factory=dict)
    #: The ids of every bulk request that came, and its size.
    bulks: list[list[str]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)

    def __enter__(self) -> FakeElasticsearch:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Otherwise headers and body go out in two packets, and the second waits for an acknowledgement.
            wbufsize = -1

            def do_GET(self) -> None:
                fake._handle(self)

            def do_POST(self) -> None:
                fake._handle(self)

            def do_PUT(self) -> None:
                fake._handle(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self._server.server_port}"

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.authorizations.append(request.headers.get("Authorization"))
        last = request.path.partition("?")[0].rpartition("/")[2]
        usual = self._bulk(body) if last == "_bulk" else Answer(body={"version": {"number": self.version}})
        answer = self.script[last].pop(0) if self.script.get(last) else usual
        time.sleep(answer.delay)
        if answer.drop:
            request.close_connection = True
            return
        content = json.dumps(answer.body).encode()
        request.send_response(answer.status)
        if self.product:
            request.send_header("X-Elastic-Product", "Elasticsearch")
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)
        request.wfile.flush()

    def _bulk(self, body: bytes) -> Answer:
        lines = body.splitlines()
        if len(body) > self.largest:
            return Answer(413, {"error": {"type": "content_too_long_exception", "reason": "too long"}})
        scripted = self.script.get("_bulk")
        items, ids = [], []
        while lines:
            ((action, target),) = json.loads(lines.pop(0)).items()
            source = json.loads(lines.pop(0)) if action != "delete" else None
            id = target["_id"]
            ids.append(id)
            if self.items.get(id):
                item = self.items[id].pop(0)
                items.append({action: {"status": item.status, "error": {"type": item.kind, "reason": item.reason}}})
                continue
            # A request that is answered with an error did nothing; one whose answer is lost did.
            if not scripted or scripted[0].drop:
                self.documents[id] = source
            items.append({action: {"status": 201}})
        self.bulks.append(ids)
        self.sizes.append(len(body))
        return Answer(body={"errors": True, "items": items})
