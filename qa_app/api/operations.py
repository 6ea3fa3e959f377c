"""Is it up, is it ready, how is it doing?"""

from __future__ import annotations

import os
from importlib import metadata
from typing import Annotated, Any

import psutil
from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Meta, Struct

from qa_app import __version__
from qa_app.api.problems import problems
from qa_app.api.services import ServicesDependency
from qa_app.errors import NotReadyError


class Live(Struct):
    """The process answers."""

    version: str


class Ready(Struct, omit_defaults=True):
    """Whether questions can be answered, and what is missing."""

    ready: bool
    missing: Annotated[dict[str, str], Meta(description="store or reader, and why it is not there.")]
    model: Annotated[str | None, Meta(description="The reader's model in use.")] = None
    notice: Annotated[str | None, Meta(description="Why another model than the wanted one is in use.")] = None


class Cpu(Struct):
    """The process's share of all processors, in percent."""

    used: float


class Memory(Struct):
    """The process's share of the memory, in percent."""

    used: float


class Health(Struct):
    """Haystack's ``/health``."""

    version: Annotated[str, Meta(description="Haystack's version.")]
    cpu: Cpu
    memory: Memory
    gpus: list[dict[str, Any]]


class HaystackVersion(Struct):
    """Haystack's ``/hs_version``."""

    hs_version: str


def _haystack_version() -> str:
    return metadata.version("farm-haystack")


@get("/live", opt={"scope": "open"}, tags=["operations"], summary="Whether the process answers", sync_to_thread=False)
def live() -> Live:
    """Answers at once, whatever else goes on."""
    return Live(__version__)


@get(
    "/ready",
    opt={"scope": "open"},
    tags=["operations"],
    summary="Whether questions can be answered",
    responses={503: ResponseSpec(Ready, description="Not yet, or not now.", generate_examples=False)},
    sync_to_thread=False,
)
def ready(services: ServicesDependency) -> Response[Ready]:
    """Names what is missing; the store is looked at every few seconds, so the answer costs nothing."""
    missing = services.missing()
    found = Ready(ready=not missing, missing=missing)
    if "reader" not in missing:
        found.model, found.notice = services.reader.resolved.name, services.reader.notice
    return Response(found, status_code=503 if missing else 200)


@get(
    "/initialized",
    opt={"scope": "open"},
    tags=["haystack"],
    summary="Whether the models are loaded",
    responses=problems(),
    sync_to_thread=False,
)
def initialized(services: ServicesDependency) -> bool:
    """True, or 503 until the store and the reader are there."""
    if missing := services.missing():
        raise NotReadyError("; ".join(f"{what}: {why}" for what, why in missing.items()))
    return True


@get(
    "/hs_version",
    opt={"scope": "read"},
    tags=["haystack"],
    summary="Haystack's version",
    responses=problems(),
    sync_to_thread=False,
)
def hs_version() -> HaystackVersion:
    """The version of Haystack underneath."""
    return HaystackVersion(_haystack_version())


@get(
    "/health",
    opt={"scope": "read"},
    tags=["haystack"],
    summary="Processor and memory in use",
    responses=problems(),
    sync_to_thread=False,
)
def health() -> Health:
    """What this process uses; ``gpus`` is empty, since none is needed."""
    used = _process.cpu_percent() / (os.cpu_count() or 1)
    return Health(_haystack_version(), Cpu(round(used, 2)), Memory(round(_process.memory_percent(), 2)), [])


@get(
    "/metrics",
    opt={"scope": "read"},
    tags=["operations"],
    summary="Metrics for Prometheus",
    responses=problems(),
    media_type="text/plain; version=0.0.4; charset=utf-8",
    sync_to_thread=False,
)
def metrics(services: ServicesDependency) -> bytes:
    """Requests, latency of retriever and reader, the queue, passages, and the model in use."""
    return services.metrics.text()


_process = psutil.Process()
_process.cpu_percent()  # the first call only starts the measurement

handlers: list[Any] = [live, ready, initialized, hs_version, health, metrics]
