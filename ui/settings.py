"""What the page was told; the only reader of the environment here."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Where the API is, and the key that it takes from this page; an empty key is none."""

    api_url: str
    api_key: str


def load() -> Settings:
    """The settings in force: QA_API_URL and QA_API_KEY."""
    url = os.environ.get("QA_API_URL", "").strip() or "http://127.0.0.1:8000"
    return Settings(url.rstrip("/"), os.environ.get("QA_API_KEY", "").strip())
