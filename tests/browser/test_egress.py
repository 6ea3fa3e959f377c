"""A10: the page and its API, as they are started together, ask for nothing beyond this machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest
from playwright.sync_api import expect

from tests.browser.visitor import SECONDS, Visitor
from tests.faults.clients import until_it_holds
from tests.faults.test_api_access import free_port
from tests.faults.test_egress import beyond, environment, status, strace


@pytest.mark.case("A10")
@pytest.mark.browser
@pytest.mark.reader
@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("_traced")
def test_the_page_asks_nobody(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    """From the start of both through a question that a visitor asks to their end, they stay on this machine."""
    port, api_port = free_port(), free_port()
    ports = ("--port", str(port), "--api-port", str(api_port))
    command = [*strace(tmp_path / "trace"), sys.executable, "-m", "qa_app", "up", "--no-open", *ports]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, env=environment(tmp_path), stderr=log) as both:
        try:
            with (
                httpx.Client(base_url=f"http://127.0.0.1:{api_port}", timeout=120) as api,
                httpx.Client(base_url=f"http://127.0.0.1:{port}") as page,
            ):
                until_it_holds(lambda: status(api, "/ready") == 200, "the API is ready", 600)
                text = b"The light was kept by Ole Brun for years."
                assert api.post("/file-upload", files={"files": ("light.txt", text)}).status_code == 200
                until_it_holds(lambda: status(page, "/_stcore/health") == 200, "the page is up", 200)
            visitor = visit(f"http://127.0.0.1:{port}/?q=Who+kept+the+light%3F")
            expect(visitor.cards().first.get_by_role("heading")).to_have_text("Ole Brun", timeout=4 * SECONDS * 1000)
        finally:
            for child in psutil.Process(both.pid).children():
                child.terminate()
    trace = (tmp_path / "trace").read_text(errors="replace")
    assert f"htons({api_port})" in trace, "the page did not ask the API"
    assert not beyond(trace)
