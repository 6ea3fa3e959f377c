"""A browser, the page's server, an API over the samples, and a visitor whose browser notes what must not happen."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, sync_playwright

from tests.browser import chromium
from tests.browser.visitor import Visitor
from tests.conftest import REPOSITORY
from tests.ingesting import ingesting, settings_for
from tests.serving import Server, server

#: What Streamlit logs, now and then, of a visitor who leaves while it sends them something.
_LEFT = re.compile(
    r"Exception in ASGI application\n(?:(?!Exception in ASGI).)*?"
    r'WebSocketDisconnected: Cannot call "send" once a close message has been sent\.',
    re.DOTALL,
)


# Ended with these tests: while it runs, its event loop is in the way of others in this thread.
@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """What drives the browser; fails or skips where none is installed."""
    if why := chromium.missing():
        if os.environ.get("QA_TEST_REQUIRE_CHROMIUM"):
            pytest.fail(f"tests in a browser are required, but {why}")
        pytest.skip(why)
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="package")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """A running Chromium."""
    launched = chromium.launch(playwright)
    yield launched
    launched.close()


@pytest.fixture(scope="package")
def axe(tmp_path_factory: pytest.TempPathFactory, playwright: Playwright) -> str:
    """axe-core's script."""
    return chromium.axe(tmp_path_factory.mktemp("axe"))


@contextmanager
def page_server(api_url: str, folder: Path, key: str = "", **settings: str) -> Iterator[str]:
    """The address of a page for an API, served as ``qa-app ui`` serves it, with further variables as settings."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QA_")}
    log = folder / f"page-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "qa_app", "ui", "--port", str(port), "--api-url", api_url],
            env={**environment, "QA_API_KEY": key, **settings},
            cwd=folder,
            stdout=output,
            stderr=output,
        )
        try:
            until = time.monotonic() + 120
            while True:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                try:
                    if httpx.get(f"http://127.0.0.1:{port}/_stcore/health").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=60)
    # Whatever a visitor did, the page itself must not have failed.
    said = _LEFT.sub("", log.read_text())
    assert "Traceback" not in said, said


@pytest.fixture(scope="package")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An API over the samples; tests leave these as they are, and may add others."""
    folder = tmp_path_factory.mktemp("browser-api")
    samples = folder / "samples"
    shutil.copytree(REPOSITORY / "samples", samples, ignore=shutil.ignore_patterns("questions.json"))
    settings = settings_for(folder / "data", None, api_deadline=120.0)
    with ingesting(settings) as ingest:
        ingest(samples)
    with server(settings) as running:
        yield running


@pytest.fixture(scope="package")
def url(api: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page for that API."""
    with page_server(api.url, tmp_path_factory.mktemp("page")) as address:
        yield address


@pytest.fixture
def page_for(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """A function that serves a page for any API's address and gives the page's.

    ``key`` is what it shows the API; further variables are the page's settings.
    """
    with ExitStack() as served:
        yield lambda api_url, key="", **settings: served.enter_context(page_server(api_url, tmp_path, key, **settings))


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """A function that opens an address in a window of its own, and gives what its visitor does there.

    Takes ``dark``, ``narrow`` and what Playwright's contexts take. At the end, no visitor may have seen a dialog or a
    request to anywhere but this machine.
    """
    with ExitStack() as opened:
        visitors: list[Visitor] = []

        def open_window(url: str, *, dark: bool = False, narrow: bool = False, **options: object) -> Visitor:
            size = {"width": 390, "height": 844} if narrow else {"width": 1280, "height": 900}
            scheme = "dark" if dark else "light"
            context: BrowserContext = browser.new_context(
                **{
                    "viewport": size,
                    "color_scheme": scheme,
                    "permissions": ["clipboard-read", "clipboard-write"],
                    **options,
                }  # type: ignore[arg-type]
            )
            opened.callback(context.close)
            context.set_default_timeout(30_000)
            visitor = Visitor(context)
            visitors.append(visitor)
            visitor.go(url)
            return visitor

        yield open_window
        for visitor in visitors:
            visitor.check()


@pytest.fixture(scope="package")
def pictures() -> Path:
    """The folder for pictures of the page: QA_TEST_PICTURES, or one in the cache."""
    folder = Path(os.environ.get("QA_TEST_PICTURES") or REPOSITORY / ".cache" / "pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
