"""A real Chromium and axe-core's rules for accessibility, found or fetched; :func:`missing` says what is not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from playwright.sync_api import Browser, Playwright

from tests.conftest import REPOSITORY

AXE_VERSION = "4.10.3"
_AXE = REPOSITORY / ".cache" / f"axe-core-{AXE_VERSION}.js"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def missing() -> str | None:
    """What the tests in a browser need and this machine lacks, with the way to get it."""
    if executable() is None:
        return "no Chromium is installed (Debian: apt-get install chromium), or name it in QA_TEST_CHROMIUM"
    if not _AXE.exists() and shutil.which("npm") is None:
        return "npm is needed to fetch axe-core (Debian: apt-get install npm)"
    return None


def executable() -> str | None:
    """Where Chromium is."""
    given = os.environ.get("QA_TEST_CHROMIUM")
    return given or next(filter(None, map(shutil.which, _NAMES)), None)


def launch(playwright: Playwright) -> Browser:
    """A browser without a window."""
    return playwright.chromium.launch(executable_path=executable(), args=list(FLAGS))


def axe(folder: Path) -> str:
    """axe-core's script, fetched once by npm, with ``folder`` to unpack in."""
    if not _AXE.exists():
        subprocess.run(
            ["npm", "pack", "--silent", f"axe-core@{AXE_VERSION}"], cwd=folder, check=True, capture_output=True
        )
        with tarfile.open(folder / f"axe-core-{AXE_VERSION}.tgz") as package:
            script = package.extractfile("package/axe.min.js")
            assert script is not None
            content = script.read()
        _AXE.parent.mkdir(exist_ok=True)
        temporary = _AXE.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(content)
        temporary.replace(_AXE)
    return _AXE.read_text(encoding="utf-8")
