"""The API over a few documents, on each store, for every test that asks it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import pytest

from tests.ingesting import ingesting, settings_for, write
from tests.serving import Server, client, server

DOCUMENTS = {
    "lyon.md": "# Lyon\n\nThe Rhône runs through Lyon. The city has 522,250 inhabitants.\n",
    "oslo.txt": "Oslo was founded in 1040 by Harald Hardrada. It burned down in 1624.\n",
    "notes/tea.txt": "Tea from Assam is strong. Water for tea should be at 95 degrees.\n",
}


@pytest.fixture(scope="session", params=["sqlite", pytest.param("elasticsearch", marks=pytest.mark.elasticsearch)])
def api_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over the documents; tests leave them as they are, and put others into indexes of their own."""
    folder = tmp_path_factory.mktemp("api")
    url = request.getfixturevalue("elasticsearch_url") if request.param == "elasticsearch" else None
    settings = settings_for(folder / "data", url, index=f"api-{uuid.uuid4().hex[:8]}", api_deadline=60.0)
    with ingesting(settings) as ingest:
        ingest(write(folder / "documents", dict(DOCUMENTS)))
    with server(settings) as running:
        yield running


@pytest.fixture
def api(api_server: Server) -> Iterator[httpx.Client]:
    """A client of that server."""
    with client(api_server.url) as made:
        yield made
