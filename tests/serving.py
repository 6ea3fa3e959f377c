"""The API as a server in a test's own process, on a port of its own, asked over the network."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from qa_app.api.app import create_app
from qa_app.api.server import server_of
from qa_app.api.services import Services
from qa_app.settings import Settings


class Server:
    """A running server; ``url`` is where, ``services`` what is behind it."""

    def __init__(self, services: Services, *, any_host: bool = False, port: int = 0) -> None:
        self.services = services
        self.app = create_app(services, any_host=any_host)
        self._server = server_of(self.app, "127.0.0.1", port)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def start(self) -> None:
        """Returns when it listens."""
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the server has ended"
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        """Returns when it has ended."""
        self._server.should_exit = True
        self._thread.join(timeout=60)
        assert not self._thread.is_alive(), "the server does not end"


@contextmanager
def server(settings: Settings, *, any_host: bool = False, ready: bool = True, port: int = 0) -> Iterator[Server]:
    """A server over settings, asked when it is ready; on a free port unless one is given."""
    running = Server(Services(settings), any_host=any_host, port=port)
    running.start()
    try:
        if ready:
            wait_until_ready(running.url)
        yield running
    finally:
        running.stop()


@contextmanager
def serving(settings: Settings, *, ready: bool = True, key: str = "", any_host: bool = False) -> Iterator[httpx.Client]:
    """A client of such a server, with a key where one is given."""
    with server(settings, ready=ready, any_host=any_host) as running, client(running.url, key) as made:
        yield made


def client(url: str, key: str = "") -> httpx.Client:
    """A client that sends the key with every request."""
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=60)


def wait_until_ready(url: str, seconds: float = 120) -> None:
    """Returns when ``/ready`` says so; fails with what it names as missing."""
    until = time.monotonic() + seconds
    while True:
        answer = httpx.get(f"{url}/ready")
        if answer.status_code == 200:
            return
        assert time.monotonic() < until, answer.text
        time.sleep(0.05)
