"""D4: what is deleted from Elasticsearch leaves nothing there that can be asked for, and nothing in the data folder."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from qa_app import bootstrap
from tests.ingesting import settings_for
from tests.integration.test_jobs import places_of
from tests.uploading import eventually, finished, upload, uploading


@pytest.mark.case("D4")
@pytest.mark.elasticsearch
@pytest.mark.parametrize("how", ["file", "filters", "everything"])
def test_d4_no_document_and_no_file_is_left(elasticsearch_url: str, tmp_path: Path, how: str) -> None:
    """No passage, record or original holds a word of what was deleted; what was not deleted stays."""
    secret, kept = "Quetzalcoatlus", "Pterodactylus"
    settings = settings_for(tmp_path / "data", elasticsearch_url, index=f"d4-{os.getpid()}-{how}")

    def told() -> str:
        """All that the server gives out; its segments let go of deleted documents when it merges them."""
        httpx.post(f"{elasticsearch_url}/{settings.index}*/_refresh").raise_for_status()
        return httpx.get(f"{elasticsearch_url}/{settings.index}*/_search?size=1000").raise_for_status().text

    with bootstrap.open_store(settings) as store, uploading(settings, store) as uploads:
        jobs = [upload(uploads, {"b.txt": f"The {kept} flew. " * 200})]
        jobs.append(upload(uploads, {"a.txt": f"The {secret} flew. " * 200}, {"kind": "secret"}))
        [file] = finished(uploads, *jobs)[1].files
        for word in (secret, kept):
            assert word in told()
            assert places_of(word.encode(), settings.data_path)
        if how == "file":
            uploads.delete_file(file.file_id or "")
        elif how == "filters":
            uploads.delete_documents({"kind": "secret"})
        else:
            uploads.delete_everything(settings.index)
            finished(uploads, upload(uploads, {"c.txt": f"The {kept} flew."}))
        eventually(lambda: not places_of(secret.encode(), settings.data_path), f"no {secret} is left")
        assert secret not in told()
        assert store.query(secret) == []
        assert kept in told()
        assert places_of(kept.encode(), settings.data_path)
        store.delete_index(settings.index)
