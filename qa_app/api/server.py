"""The API as a process: where it listens, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from qa_app.api.app import create_app
from qa_app.api.keys import parse_keys
from qa_app.api.protection import Frame, is_loopback
from qa_app.api.services import Services
from qa_app.errors import SettingsError
from qa_app.settings import Settings

#: Seconds in which requests may finish after the process was told to end.
_DRAIN = 20
#: Seconds in which the headers of a request must have come.
HEADER_SECONDS = 30.0


def serve(settings: Settings, *, insecure_no_auth: bool = False) -> None:
    """Listens until told to end (SIGTERM, Ctrl-C), then lets running requests finish.

    Raises SettingsError where others than this machine could ask without a key, unless ``insecure_no_auth``, and where
    the store or the reader turns out to be configured wrongly.
    """
    keys = parse_keys(settings.api_keys)
    if not keys.digests and not insecure_no_auth and not is_loopback(settings.api_host):
        raise SettingsError(
            f"{settings.api_host} can be reached from other machines, and no API key protects it; set QA_API_KEYS "
            "('qa-app key' makes keys), listen on 127.0.0.1, or say --insecure-no-auth"
        )
    _log()
    services = Services(settings)
    app = create_app(services, any_host=insecure_no_auth)
    server = server_of(app, settings.api_host, settings.api_port)
    fatal: list[SettingsError] = []

    def stop(error: SettingsError) -> None:
        fatal.append(error)
        server.should_exit = True

    services.on_fatal = stop
    # uvicorn ends what runs and then sends itself the signal again; being told to end is no failure.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        server.run()
    except SystemExit as end:
        # uvicorn has said why in its log; most often somebody else listens there.
        raise SettingsError(
            f"{settings.api_host}:{settings.api_port} cannot be listened on; choose another --port"
        ) from end
    if fatal:
        raise fatal[0]


def server_of(app: Frame, host: str, port: int) -> uvicorn.Server:
    """The HTTP server, not yet running."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_DRAIN,
        h11_max_incomplete_event_size=64 * 1024,
        http=PunctualProtocol,
        ws="none",
        lifespan="on",
    )
    return uvicorn.Server(config)


class PunctualProtocol(H11Protocol):
    """uvicorn's protocol, which would wait for ever for the rest of a request's headers."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._late = self.loop.call_later(HEADER_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        between_requests = self.cycle is None or self.cycle.response_complete
        if between_requests and self._late is None:
            self._late = self.loop.call_later(HEADER_SECONDS, self.transport.close)
        elif not between_requests and self._late is not None:
            self._late.cancel()
            self._late = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._late is not None:
            self._late.cancel()


def _log() -> None:
    """One line an event on standard error; libraries only where something is wrong."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr, force=True
    )
    logging.getLogger("qa_app").setLevel(logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.INFO)
