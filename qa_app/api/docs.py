"""The API's own description: ``/openapi.json``, and ``/docs`` to read and try it, from this machine's files alone."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, get
from litestar.di import Provide
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Tag
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from qa_app import __version__
from qa_app.api.examples import EXAMPLES
from qa_app.api.parameters import FILTER_SCHEMAS
from qa_app.api.problems import example as problem_example
from qa_app.api.problems import problems

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>qa_app API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, tryItOutEnabled: true,
  presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout", validatorUrl: null});
"""
_ASSETS = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
    "start.js": "text/javascript",
}
# Swagger UI writes styles into its elements; scripts come from files alone.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_TAGS = {
    "haystack": "What Haystack v1's clients ask.",
    "documents": "Files, their texts and passages.",
    "batch": "Many at a time.",
    "operations": "For those who run it.",
}
_DESCRIPTION = (
    "Answers questions from documents, in the documents' own words. All offsets count code points. "
    "Every error has the body {error: {code, message, request_id}}."
)


def describe(handlers: Sequence[ControllerRouterHandler]) -> dict[str, Any]:
    """The OpenAPI description of handlers, with their scopes."""
    config = OpenAPIConfig(
        title="qa_app",
        version=__version__,
        description=_DESCRIPTION,
        use_handler_docstrings=True,
        tags=[Tag(name=name, description=text) for name, text in _TAGS.items()],
    )
    described = Litestar(
        handlers,
        dependencies={"services": Provide(_undescribed, sync_to_thread=False)},
        openapi_config=config,
        logging_config=None,
    )
    schema: dict[str, Any] = msgspec.to_builtins(described.openapi_schema.to_schema())
    # msgspec's own schemas of the records say all that it checks; the framework's leave out that no others are taken.
    components = schema["components"]
    known = {struct.__name__: struct for struct in _structs(msgspec.Struct)}
    wanted = [known[name] for name in components["schemas"] if name in known]
    _, exact = msgspec.json.schema_components(wanted, ref_template="#/components/schemas/{name}")
    components["schemas"].update(exact)
    components["schemas"].update(FILTER_SCHEMAS)
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}}
    scopes = {(path, method.lower()): route for route in described.routes for path, method, route in _operations(route)}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            handler = scopes[path, method]
            scope = handler.opt["scope"]
            operation["security"] = [] if scope == "open" else [{"key": []}]
            operation["description"] = f"{operation.get('description', '')}\n\nScope of the key: {scope}.".strip()
            operation.update(handler.opt.get("openapi", {}))
            for status, response in operation["responses"].items():
                shown = problem_example(int(status)) if status >= "400" else EXAMPLES[method, path]
                for content in response.get("content", {}).values():
                    content.setdefault("example", shown)
    return schema


def _undescribed() -> None:
    """In place of the services, which a description does not need."""


def _structs(base: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    return [found for struct in base.__subclasses__() for found in (struct, *_structs(struct))]


def _operations(route: Any) -> list[tuple[str, str, Any]]:
    return [
        (route.path_format, str(method), handler)
        for method, (handler, _) in getattr(route, "route_handler_map", {}).items()
    ]


@get(
    "/openapi.json",
    opt={"scope": "read", "browser": True},
    include_in_schema=False,
    responses=problems(),
    sync_to_thread=False,
)
def openapi(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The description of this API."""
    return Response(_encoded(request.app), media_type="application/json")


@functools.lru_cache(maxsize=1)
def _encoded(app: Litestar) -> bytes:
    return msgspec.json.encode(describe(app.state["handlers"]))


@get("/docs", opt={"scope": "read", "browser": True}, include_in_schema=False, sync_to_thread=False)
def docs() -> Response[str]:
    """A page that shows the description and tries operations."""
    return Response(_PAGE, media_type="text/html", headers={"Content-Security-Policy": _POLICY})


@get("/docs/{name:str}", opt={"scope": "read", "browser": True}, include_in_schema=False, sync_to_thread=False)
def docs_asset(name: FromPath[str]) -> Response[bytes]:
    """What the page consists of."""
    if name not in _ASSETS:
        raise NotFoundException(f"there is no {name[:80]!r} here")
    return Response(_asset(name), media_type=_ASSETS[name], headers={"Cache-Control": "private, max-age=3600"})


@functools.cache
def _asset(name: str) -> bytes:
    if name == "start.js":
        return _START.encode()
    return (files("swagger_ui") / "static" / name).read_bytes()


handlers: list[Any] = [openapi, docs, docs_asset]
