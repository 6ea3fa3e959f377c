"""The application: every handler, behind one guard, with one place for errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException

from qa_app.api import docs, example_questions, facets, feedback, files, haystack, operations, pages, reading, uploads
from qa_app.api.keys import parse_keys
from qa_app.api.problems import of_exception
from qa_app.api.protection import Frame, Gate
from qa_app.api.requests import StrictRequest
from qa_app.api.services import Services
from qa_app.errors import SettingsError
from qa_app.settings import Settings

#: A question and its filters are far smaller; operations that take more say so themselves.
BODY_BYTES = 2**20

HANDLERS: list[Any] = [
    *operations.handlers,
    *haystack.handlers,
    *feedback.handlers,
    *uploads.upload_handlers,
    *uploads.handlers,
    *files.handlers,
    *pages.handlers,
    *facets.handlers,
    *example_questions.handlers,
    *reading.handlers,
]


def create_app(services: Services, *, any_host: bool = False) -> Frame:
    """The ASGI application over services, which it starts and closes.

    ``any_host`` lets requests without keys come under any name. Raises SettingsError for keys or origins that cannot be
    used.
    """
    settings = services.settings
    origins = cors_origins(settings)

    @asynccontextmanager
    async def opened(_: Litestar) -> AsyncIterator[None]:
        services.start()
        try:
            yield
        finally:
            services.close()

    large = Router(
        "/", route_handlers=uploads.upload_handlers, request_max_body_size=settings.api_max_upload_mb * 2**20
    )
    app = Litestar(
        [large, *(handler for handler in HANDLERS if handler not in uploads.upload_handlers), *docs.handlers],
        lifespan=[opened],
        guards=[Gate(parse_keys(settings.api_keys), frozenset(origins), any_host)],
        dependencies={"services": Provide(lambda: services, sync_to_thread=False)},
        request_class=StrictRequest,
        request_max_body_size=BODY_BYTES,
        exception_handlers={HTTPException: of_exception, Exception: of_exception},
        cors_config=_cors(origins) if origins else None,
        openapi_config=None,
        logging_config=None,
        debug=False,
        state=State({"handlers": HANDLERS}),
    )
    return Frame(app, services.metrics)


def cors_origins(settings: Settings) -> list[str]:
    """The origins of ``api.cors_origins``; raises SettingsError for what is no origin, as ``*`` is none."""
    origins = [part.strip() for part in settings.api_cors_origins.split(",") if part.strip()]
    for origin in origins:
        scheme, separator, rest = origin.partition("://")
        if scheme not in ("http", "https") or not separator or not rest or "/" in rest or "*" in rest:
            raise SettingsError(f"api.cors_origins has {origin!r}; write origins such as https://intranet.example")
    return origins


def _cors(origins: list[str]) -> CORSConfig:
    return CORSConfig(
        allow_origins=origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "X-API-Key"],
        expose_headers=["Retry-After", "X-Ignored-Fields", "X-Request-ID", "X-Skipped-Labels"],
    )
