"""The API as a process: where it listens, and how it ends."""

from __future__ import annotations

import logging
import signal
import sys

import uvicorn

from qa_app.api.app import create_app
from qa_app.api.keys import parse_keys
from qa_app.api.protection import is_loopback
from qa_app.api.services import Services
from qa_app.errors import SettingsError
from qa_app.settings import Settings

#: Seconds in which requests may finish after the process was told to end.
_DRAIN = 20


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
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.api_host,
            port=settings.api_port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_DRAIN,
            h11_max_incomplete_event_size=64 * 1024,
            http="h11",
            ws="none",
        )
    )
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


def _log() -> None:
    """One line an event on standard error; libraries only where something is wrong."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr, force=True
    )
    logging.getLogger("qa_app").setLevel(logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.INFO)
