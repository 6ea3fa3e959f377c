"""D6: an index that somebody removed comes back from its folder, or from an archive, as it was."""

from __future__ import annotations

import os
import random
from pathlib import Path

import httpx
import pytest

from qa_app import bootstrap
from qa_app.errors import ArchiveError
from qa_app.pipelines.archive import export_archive, import_archive
from qa_app.settings import Settings
from qa_app.stores.passage_store import PassageStore
from tests.faults.table import Figure
from tests.ingesting import ingesting, ranking, settings_for, snapshot, write
from tests.integration.test_cli import Shell

FILES: dict[str, str | bytes] = {
    **{
        f"yards/{number:02}.txt": "\n\n".join(
            f"In yard {number} the crane of pier {pier} is idle. " * 20 for pier in (1, 2)
        )
        for number in range(12)
    },
    # One text in two files, another script, another format.
    "copy.txt": "The same words twice.",
    "again.txt": "The same words twice.",
    "vessels.md": "# Суда\n\nПаром *Север* ходит в Скарвик. 🚢 Он берёт сорок машин.",
    "page.html": "<title>Tides</title><p>High water is at noon.<p>Low water is at six.",
}
QUESTIONS = ["Which words are the same?", "Куда ходит паром?", "When is high water?"]


@pytest.fixture(params=["sqlite", pytest.param("elasticsearch", marks=pytest.mark.elasticsearch)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Of an index of the test's own in either store."""
    address = request.getfixturevalue("elasticsearch_url") if request.param == "elasticsearch" else None
    return settings_for(tmp_path / "data", address, index=f"d6-{os.getpid()}-{request.param}")


def remove(settings: Settings) -> None:
    """As somebody does who knows nothing of the application."""
    if settings.store == "elasticsearch":
        found = httpx.get(f"{settings.elasticsearch_url}/_cat/indices/{settings.index}*?format=json").json()
        assert found
        for index in found:
            httpx.delete(f"{settings.elasticsearch_url}/{index['index']}").raise_for_status()
    else:
        found = list(settings.data_path.glob("*.sqlite*"))
        assert found
        for file in found:
            file.unlink()


Held = tuple[list[tuple[str, str, str]], list[list[tuple[str, float]]]]


def held(settings: Settings) -> Held:
    """What the index holds, and what it finds."""
    with bootstrap.open_store(settings) as store:
        return content(store)


def content(store: PassageStore) -> Held:
    """Its passages, and the first of them for some questions."""
    return snapshot(store), ranking(store, QUESTIONS)


@pytest.mark.case("D6")
def test_d6_a_removed_index_is_rebuilt_from_its_folder(settings: Settings, tmp_path: Path, figure: Figure) -> None:
    """The next run makes the same passages, with the same ids, texts, metadata and places among those found."""
    folder = write(tmp_path / "papers", FILES)
    shell = Shell(tmp_path)
    variables = {
        "QA_STORE": settings.store,
        "QA_INDEX": settings.index,
        "QA_ELASTICSEARCH_URL": settings.elasticsearch_url,
    }
    shell("ingest", folder, **variables)
    before = held(settings)
    assert len(before[0]) > len(FILES)
    assert all(before[1])
    remove(settings)
    assert held(settings) == ([], [[] for _ in QUESTIONS])
    report = shell.json("ingest", folder, **variables)
    assert {file["status"] for file in report["files"]} == {"indexed"}
    assert held(settings) == before
    figure(f"passages rebuilt in {settings.store} with the same ids", len(before[0]))
    figure(f"questions that find the same in {settings.store} afterwards", len(QUESTIONS))


@pytest.mark.case("D6")
def test_d6_an_archive_brings_it_back_or_leaves_it_alone(
    settings: Settings, tmp_path: Path, long: bool, figure: Figure
) -> None:
    """A whole archive restores the passages; one with a byte changed anywhere that matters changes nothing at all."""
    archive, damaged = tmp_path / "papers.qa.zip", tmp_path / "damaged.qa.zip"
    with ingesting(settings) as ingest:
        ingest(write(tmp_path / "papers", FILES))
        before = content(ingest.store)
        export_archive(ingest.store, archive)
    remove(settings)
    whole = archive.read_bytes()
    dice, refused = random.Random(6), 0
    with bootstrap.open_store(settings) as store:
        for _ in range(400 if long else 30):
            at = dice.randrange(len(whole))
            changed = bytes([whole[at] ^ 1 << dice.randrange(8)])
            damaged.write_bytes(whole[:at] + changed + whole[at + 1 :] if dice.random() < 0.8 else whole[:at])
            try:
                import_archive(store, damaged)
            except ArchiveError:
                refused += 1
                assert store.get_document_count() == 0
            else:
                # A bit of the container that means nothing, such as a time.
                assert content(store) == before
                store.delete_all_documents()
        import_archive(store, archive)
        assert content(store) == before
    figure(f"damaged archives refused whole by {settings.store}", refused)
    assert refused > 15
