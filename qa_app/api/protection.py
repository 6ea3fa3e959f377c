"""What stands before every handler: who asks, from where, with what; and what every response carries."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler

from qa_app.api.keys import SCOPES, FailureLimit, Keys, presented
from qa_app.api.metrics import Metrics
from qa_app.errors import (
    AuthenticationError,
    InvalidRequestError,
    MediaTypeError,
    OverloadedError,
    PermissionDeniedError,
)

logger = logging.getLogger("qa_app.api")

#: Seconds in which the next piece of a body must come, and by which the whole may be slower than the least rate.
BODY_SECONDS = 30.0
#: Bytes a second that a body must come with: a client that sends one now and then would hold its place for ever.
_LEAST_RATE = 4096
#: What is read of a body that was refused for its length, before the connection is closed.
_DRAINED_BYTES = 8 * 2**20
_DRAINED_SECONDS = 1.0
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass
class Gate:
    """The guard of all routes.

    ``keys`` may be none; then requests must name this machine as their host (another name would be a page in
    somebody's browser that had its own name resolved to here), unless ``any_host``.
    """

    keys: Keys
    origins: frozenset[str] = frozenset()
    any_host: bool = False
    failures: FailureLimit = field(default_factory=FailureLimit)

    def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Raises AuthenticationError, PermissionDeniedError, OverloadedError and MediaTypeError."""
        if _method(connection) == "OPTIONS":
            return  # the framework's own answer, which names methods and nothing else
        scope = handler.opt["scope"]
        if not self.keys.digests:
            self._check_host(connection)
            self._check_origin(connection)
        elif scope != "open":
            self._check_key(connection, scope)
        twice = [name for name in connection.query_params if len(connection.query_params.getall(name)) > 1]
        if twice:
            raise InvalidRequestError(f"the parameter {twice[0][:80]!r} is given twice")
        if _method(connection) not in _SAFE_METHODS:
            self._check_body(connection, handler)

    def _check_host(self, connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        host = urlsplit(f"//{connection.headers.get('host', '')}")
        if not self.any_host and not is_loopback(host.hostname or ""):
            raise PermissionDeniedError("without API keys, requests are taken under this machine's own name only")

    def _check_origin(self, connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        """Keeps another site's page from using the browser's way to this machine, or its remembered key."""
        origin = connection.headers.get("origin")
        if _method(connection) in _SAFE_METHODS or origin is None or origin in self.origins:
            return
        if urlsplit(origin).netloc != connection.headers.get("host"):
            raise PermissionDeniedError(
                "pages of other origins may not write here; api.cors_origins names those that may"
            )

    def _check_key(self, connection: ASGIConnection[Any, Any, Any, Any], needed: str) -> None:
        headers = connection.headers
        key, by_browser = presented(headers.getall("authorization", []), headers.getall("x-api-key", []))
        scope = None if key is None else self.keys.scope(key)
        if scope is None:
            peer = connection.client.host if connection.client else "unknown"
            wait = self.failures.failed(peer) if key is not None else 0
            logger.warning("no valid API key from %s", peer)
            if wait:
                raise OverloadedError("too many wrong API keys; wait", retry_after=wait)
            raise AuthenticationError("an API key is needed: Authorization: Bearer KEY")
        if by_browser:
            self._check_origin(connection)
        if SCOPES.index(scope) < SCOPES.index(needed):
            raise PermissionDeniedError(f"this needs a key with the scope {needed}; this key's is {scope}")

    @staticmethod
    def _check_body(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        wanted = handler.opt.get("body")
        given = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
        if wanted and given != wanted:
            raise MediaTypeError(f"the body must be {wanted}, and the header Content-Type say so")


def _method(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    return cast("str", connection.scope.get("method", ""))


@dataclass
class Frame:
    """The outermost layer: names the request, bounds how slowly its body may come, logs, counts, adds headers."""

    app: Litestar
    metrics: Metrics

    def __post_init__(self) -> None:
        # The framework's answer to OPTIONS names the methods of one handler, though an address may have several.
        self._methods = {route.path_format: ", ".join(sorted(map(str, route.methods))) for route in self.app.routes}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()
        status = 500
        complete = False
        until = started + BODY_SECONDS

        async def timely() -> Any:
            nonlocal complete, until
            if complete:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), min(BODY_SECONDS, until - time.perf_counter()))
            except asyncio.TimeoutError:
                raise HTTPException(status_code=408, detail="the request's body did not come in time") from None
            if message["type"] == "http.disconnect":
                complete = True
                raise HTTPException(status_code=400, detail="the client went away before the body had come")
            complete = not message.get("more_body", False)
            until += len(message.get("body", b"")) / _LEAST_RATE
            return message

        async def drained() -> None:
            """Reads on a little: closing at once would reset the connection, and the client never see the answer."""
            nonlocal complete
            size = 0
            while not complete and size < _DRAINED_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                complete = message["type"] != "http.request" or not message.get("more_body", False)

        async def framed(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", []))
                if scope["method"] == "OPTIONS" and "path_template" in scope:
                    allowed = self._methods[scope["path_template"]].encode()
                    headers = [(name, allowed if name.lower() == b"allow" else value) for name, value in headers]
                if status in (408, 413) and not complete:
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(drained(), _DRAINED_SECONDS)
                    if not complete:
                        headers.append((b"connection", b"close"))
                present = {name.lower() for name, _ in headers}
                headers += [pair for pair in HEADERS if pair[0] not in present]
                message["headers"] = [*headers, (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self.app(scope, timely, framed)
        finally:
            seconds = time.perf_counter() - started
            template = str(scope.get("path_template") or "unknown")
            self.metrics.requests.labels(scope["method"], template, str(status)).inc()
            self.metrics.request_seconds.labels(template).observe(seconds)
            # The path alone, and escaped: questions stand in bodies, and a name must not write lines of its own.
            logger.info(
                "%s %s %d %.0f ms %s", scope["method"], ascii(scope["path"]), status, seconds * 1000, request_id
            )
