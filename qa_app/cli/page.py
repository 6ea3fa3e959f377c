"""``qa-app ui`` and ``qa-app up``: the page, alone or together with the API."""

from __future__ import annotations

import errno
import hashlib
import secrets
import socket
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qa_app.cli import servers
from qa_app.cli.output import say
from qa_app.errors import NotFoundError, SettingsError

if TYPE_CHECKING:
    from qa_app.settings import Settings

#: The API lets requests finish for 20 seconds, and then closes what it opened; the page has nothing to finish.
_API_GRACE, _PAGE_GRACE = 30.0, 5.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what listens everywhere is reached here

#: Streamlit would tell its makers how it is used, look up this machine's address on the network, and show visitors the
#: inside of errors. Variables, since an older Streamlit ignores those it does not know; one that is set already stays.
#: Errors of the page go to standard error, its chatter to standard output, which nobody reads.
STREAMLIT = {
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    "STREAMLIT_BROWSER_SERVER_ADDRESS": "localhost",
    "STREAMLIT_CLIENT_SHOW_ERROR_DETAILS": "none",
    "STREAMLIT_CLIENT_SHOW_ERROR_LINKS": "false",
    "STREAMLIT_CLIENT_TOOLBAR_MODE": "viewer",
    "STREAMLIT_LOGGER_ENABLE_RICH": "false",
    "STREAMLIT_LOGGER_LEVEL": "error",
    "STREAMLIT_SERVER_ENABLE_CORS": "true",
    "STREAMLIT_SERVER_ENABLE_XSRF_PROTECTION": "true",
    "STREAMLIT_SERVER_FILE_WATCHER_TYPE": "none",
}


def ui(
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.", show_default=False)] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on.", show_default=False)] = None,
    api_url: Annotated[str | None, typer.Option("--api-url", help="Where the API is.", show_default=False)] = None,
) -> None:
    """Serve the page alone, for an API that runs elsewhere."""
    from qa_app import settings as settings_room

    settings = settings_room.load({"ui_host": host, "ui_port": port, "api_url": api_url})
    api = settings.api_url or address(settings.api_host, settings.api_port)
    if not api.startswith(("http://", "https://")):
        raise SettingsError(f"the API's address {api!r} does not begin with http:// or https://")
    page_port = listenable(settings.ui_host, settings.ui_port, "--port")
    page = page_server(settings, page_port, api, settings.api_key)
    say(f"starting the page for the API at {api} ...")
    with servers.running(page):
        servers.wait([page], page.is_up)
        _tell_page(settings, page_port, "Ctrl-C ends it")
        servers.wait([page])


def up(
    port: Annotated[int | None, typer.Option("--port", help="Port of the page.", show_default=False)] = None,
    api_port: Annotated[int | None, typer.Option("--api-port", help="Port of the API.", show_default=False)] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Open no browser.")] = False,
) -> None:
    """Serve the API and the page together until Ctrl-C."""
    from qa_app import settings as settings_room

    settings = settings_room.load({"ui_port": port, "api_port": api_port})
    at = listenable(settings.api_host, settings.api_port, "--api-port")
    page_port = listenable(settings.ui_host, settings.ui_port, "--port")
    if page_port == at:
        raise SettingsError(f"the page and the API cannot both have port {at}; choose another --port or --api-port")
    where = address(settings.api_host, at)
    key, changes = "", {}
    if settings.api_keys:
        # For this run alone: the API learns its hash, the page the key, and nobody else either.
        key = secrets.token_urlsafe(32)
        entry = f"write:sha256:{hashlib.sha256(key.encode()).hexdigest()}"
        changes["QA_API_KEYS"] = f"{settings.api_keys},{entry}"
    api = servers.Server(
        name="the API",
        command=["qa_app", "serve", "--port", str(at)],
        environment=settings_room.environment_for_child(changes),
        health=f"{where}/live",
        grace=_API_GRACE,
    )
    page = page_server(settings, page_port, where, key)
    say(f"starting the API at {where} and the page at {address(settings.ui_host, page_port)} ...")
    with servers.running(api, page):
        servers.wait([api, page], page.is_up)
        if sys.stdout.isatty() and not no_open:
            _open(address(settings.ui_host, page_port))
        servers.wait([api, page], api.is_up)
        say(f"API:  {where}")
        _tell_page(settings, page_port, "Ctrl-C ends both")
        servers.wait([api, page])


def page_server(settings: Settings, port: int, api_url: str, key: str) -> servers.Server:
    """The page as a server; ``key`` is what it shows the API. Raises NotFoundError where it is not installed."""
    from qa_app import settings as settings_room

    folder = page_folder()
    missing = [package for package in ("streamlit", "httpx") if find_spec(package) is None]
    if missing:
        raise NotFoundError(
            f"the page needs {' and '.join(missing)}, of the extra 'ui'; "
            "pip install 'qa-app[ui]' installs it, make setup in a checkout"
        )
    # Only the page's own: passwords and other keys are no business of a process that shows documents.
    told = {"QA_API_URL": api_url, "QA_API_KEY": key}
    defaults = {**STREAMLIT, "STREAMLIT_SERVER_MAX_UPLOAD_SIZE": str(settings.api_max_upload_mb)}
    if settings.ui_host in _LOOPBACK:
        # Another name would be a page in somebody's browser that had its own name resolved to here.
        defaults["STREAMLIT_SERVER_ALLOWED_HOSTS"] = " ".join(_LOOPBACK)
    options = {"address": settings.ui_host, "port": port, "headless": "true", "baseUrlPath": ""}
    flags = [text for name, value in options.items() for text in (f"--server.{name}", str(value))]
    return servers.Server(
        name="the page",
        command=["streamlit", "run", str(folder / "ui" / "app.py"), *flags],
        environment=settings_room.environment_for_child(told, defaults=defaults, settings=False),
        health=f"{address(settings.ui_host, port)}/_stcore/health",
        grace=_PAGE_GRACE,
        folder=folder,
    )


def page_folder() -> Path:
    """The folder with ``ui/`` in it: in the installed package, or a checkout."""
    package = Path(__file__).parent.parent
    for folder in (package / "page", package.parent):
        if (folder / "ui" / "app.py").is_file():
            return folder
    raise NotFoundError("the page's files are not installed here; a wheel of qa-app has them, and a checkout")


def address(host: str, port: int) -> str:
    """Where this machine reaches what listens on ``host``."""
    host = _ANY.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listenable(host: str, port: int, option: str) -> int:
    """The port, or a free one for 0, when it can be listened on; raises SettingsError where it cannot."""
    way_out = f"choose another port with {option}"
    if port > 65535:
        raise SettingsError(f"port {port} is over 65535; {way_out}")
    try:
        family, kind, _, _, bound = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do
            probe.bind(bound)
            probe.listen()
            return int(probe.getsockname()[1])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"another program, perhaps another qa-app, listens on {host}:{port}; end it, or {way_out}"
            ) from error
        raise SettingsError(f"{host}:{port} cannot be listened on ({error.strerror}); {way_out}") from error


def _tell_page(settings: Settings, port: int, end: str) -> None:
    if settings.ui_host not in _LOOPBACK:
        say(f"whoever reaches port {port} of this machine may ask and upload; the page asks nobody for a key")
    say(f"Page: {address(settings.ui_host, port)}  (open it in a browser; {end})")


def _open(url: str) -> None:
    """Opens the browser in a process without a terminal: one that runs in terminals would else take ours, and wait."""
    command = [sys.executable, "-I", "-m", "webbrowser", url]
    nowhere = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    threading.Thread(
        target=subprocess.run, args=(command,), kwargs={**nowhere, "start_new_session": True}, daemon=True
    ).start()
