"""E16, E20, E21, E22, D4, D10: the embedded store when the disk is full, shared, damaged, or must forget."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from qa_app.errors import InvalidRequestError, SettingsError, StoreDamagedError, StoreError, StoreFullError
from qa_app.stores.sqlite import SQLiteDocumentStore
from tests.contract.test_files_and_labels import contents, file_of, label
from tests.faults.table import Figure
from tests.ingesting import snapshot
from tests.integration.test_cli import Shell


def opened(path: Path) -> SQLiteDocumentStore:
    return SQLiteDocumentStore(path=str(path / "store.sqlite"))


def passages_of(version: int) -> list[str]:
    return [f"Passage {i} of version v{version} " + f"word{version}x{i} " * 150 for i in range(12)]


@pytest.mark.case("E16", "E22")
def test_e16_e22_a_full_disk_at_every_moment(tmp_path: Path) -> None:
    """Wherever in a write the disk runs full, the old version stands whole, and later writes work."""
    store = opened(tmp_path)
    store.write_files([file_of("f", *passages_of(0))])
    failures = 0
    with store._reading() as connection:
        for version in range(1, 60):
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages + version % 30}")
            before = contents(store, "f")
            added = file_of(f"g{version}", *passages_of(1000 + version))
            try:
                store.write_files([file_of("f", *passages_of(version), version=str(version)), added])
            except StoreFullError:
                failures += 1
                assert contents(store, "f") == before
                assert store.get_file(f"g{version}") is None
            else:
                assert contents(store, "f") == passages_of(version)
    assert 5 < failures < 59
    assert store.problem() is None
    with store._reading() as connection:
        connection.execute("PRAGMA max_page_count = 1073741823")
    store.write_files([file_of("f", *passages_of(99), version="99")])
    assert contents(store, "f") == passages_of(99)
    store.close()


@pytest.mark.case("E20")
def test_e20_many_threads_and_processes(tmp_path: Path) -> None:
    """Threads and another process write and read one store at once; every write is there once."""
    store = opened(tmp_path)
    script = (
        "import sys\nfrom qa_app.stores.sqlite import SQLiteDocumentStore\n"
        "from tests.contract.test_files_and_labels import file_of\n"
        "store = SQLiteDocumentStore(path=sys.argv[1])\n"
        "for i in range(40): store.write_files([file_of(f'other{i}', 'Written by the other process.')])\n"
    )
    other = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "store.sqlite")])
    wrong: list[Exception] = []

    def write(number: int) -> None:
        try:
            for i in range(20):
                store.write_files([file_of(f"t{number}-{i}", f"Written by thread{number}.")])
                assert store.query(f"thread{number}", top_k=100)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert other.wait(timeout=120) == 0
    assert wrong == []
    assert store.get_document_count() == 4 * 20 + 40
    assert store.problem() is None
    store.close()


@pytest.mark.case("E21")
@pytest.mark.parametrize("where", [0, 30, "Passage 3 of version v7", "word11x5 word11x5"])
def test_e21_flipped_bytes(tmp_path: Path, where: int | str) -> None:
    """Damage to the database's file is found, named with the way out, and nothing is overwritten."""
    store = opened(tmp_path)
    store.write_files([file_of(f"f{i}", *passages_of(i)) for i in range(20)])
    store.close()
    path = tmp_path / "store.sqlite"
    data = bytearray(path.read_bytes())
    at = where if isinstance(where, int) else data.rindex(where.encode())
    data[at : at + 20] = bytes(byte ^ 0x1A for byte in data[at : at + 20])
    path.write_bytes(data)
    try:
        damaged = opened(tmp_path)
        found = damaged.problem()
        damaged.close()
    except (StoreDamagedError, SettingsError) as error:
        found = str(error)
    assert found is not None
    assert "store.sqlite" in found
    assert path.read_bytes() == bytes(data)


def look(path: Path) -> tuple[str | None, Any]:
    """What is found to be wrong with a store, and what it holds; its file is not written."""
    try:
        store = SQLiteDocumentStore(path=str(path))
        try:
            problem = store.problem()
            return problem, held_by(store) if problem is None else None
        finally:
            store.close()
    except (StoreError, SettingsError) as error:
        return str(error), None


def held_by(store: SQLiteDocumentStore) -> Any:
    """All that is kept, and what is found by words."""
    files = [(file.id, file.meta, store.get_file(file.id)) for file in store.get_all_files()]
    found = [[passage.id for passage in store.query(f"word{i}x{i}", top_k=3)] for i in range(12)]
    return files, snapshot(store), [one.to_dict() for one in store.get_all_labels()], found


@pytest.mark.case("E21")
@pytest.mark.timeout(1200)
def test_e21_damage_anywhere(tmp_path: Path, long: bool, figure: Figure) -> None:
    """Wherever bytes change, that is found and the way out named, or nothing that is kept has changed."""
    dice, places = random.Random(21), 200 if long else 30
    store = opened(tmp_path)
    store.write_files([file_of(f"f{i}", *passages_of(i), lang="en", sha256=f"{i:064x}") for i in range(12)])
    store.write_labels([label(str(i)) for i in range(12)])
    store.close()
    path = tmp_path / "store.sqlite"
    sound = path.read_bytes()
    [problem, kept] = look(path)
    assert problem is None
    found = 0
    for _ in range(places):
        data = bytearray(sound)
        at = dice.randrange(len(data))
        some = slice(at, at + dice.choice([1, 20]))
        data[some] = bytes(byte ^ dice.randrange(1, 256) for byte in data[some])
        path.write_bytes(data)
        problem, now = look(path)
        if problem is None:
            assert now == kept, (at, bytes(sound[some]))
        else:
            found += 1
            assert "store.sqlite" in problem
            assert "ingest" in problem or "choose another data_dir" in problem or "newer qa_app" in problem, problem
    figure("places of the embedded store damaged", places)
    figure("of them found, the others without effect", found)
    assert found > places / 3


@pytest.mark.case("E21")
@pytest.mark.slow
def test_e21_the_commands_tell_of_damage(tmp_path: Path, long: bool) -> None:
    """The doctor finds damage to a text, the first question that to the tables; they end with 4 and the way out."""
    shell = Shell(tmp_path)
    path = tmp_path / "data" / "store.sqlite"
    store = opened(path.parent)
    store.write_files([file_of("f", *passages_of(7))])
    store.close()
    sound = path.read_bytes()
    path.write_bytes(sound.replace(b"Passage 3 of version v7", b"Passage 3 of version v8", 1))
    assert "import an archive" in shell("doctor", code=4).stdout.replace("\n", " ")
    if not long:
        return
    path.write_bytes(sound[:100] + bytes(20) + sound[120:])
    assert "import an archive" in shell("ask", "Which passage is it?", code=4).stderr


@pytest.mark.case("D10")
def test_a_later_schema_is_left_alone(tmp_path: Path) -> None:
    """A database of a newer version is refused, and so is another program's."""
    store = opened(tmp_path)
    with store._reading() as connection:
        connection.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StoreError, match="newer"):
        opened(tmp_path)
    import sqlite3

    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute("CREATE TABLE mine (x)")
    other.commit()
    other.close()
    with pytest.raises(SettingsError, match="another program"):
        SQLiteDocumentStore(path=str(tmp_path / "other.sqlite"))


@pytest.mark.case("D10")
def test_an_earlier_schema_is_brought_up(tmp_path: Path) -> None:
    """A database from before rows had checksums keeps what it holds, and gets them."""
    store = opened(tmp_path)
    store.write_files([file_of(f"f{i}", *passages_of(i)) for i in range(3)])
    store.write_labels([label("1")])
    kept = held_by(store)
    with store._writing() as connection:
        for table in ("files_1", "documents_1", "labels"):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN crc")
        connection.execute("PRAGMA user_version = 1")
    store.close()
    assert look(tmp_path / "store.sqlite") == (None, kept)
    store = opened(tmp_path)
    with store._writing() as connection:
        connection.execute("UPDATE labels SET body = replace(body, 'river', 'brook')")
    assert "labels" in (store.problem() or "")
    store.close()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A data folder in the way of a file is an error that names it; a database in memory is refused."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="data_dir"):
        opened(tmp_path / "file" / "data")
    with pytest.raises(InvalidRequestError):
        SQLiteDocumentStore(path=":memory:")


@pytest.mark.case("D4")
def test_d4_deleted_words_leave_the_disk(tmp_path: Path) -> None:
    """After deleting and wiping, no byte of a document's words is left in the data folder."""
    store = opened(tmp_path)
    store.write_files([file_of("f", "The quxcanary sings."), *[file_of(f"g{i}", "Others stay.") for i in range(50)]])
    assert b"quxcanary" in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    store.delete_files(["f"])
    store.wipe_traces()
    assert b"quxcanary" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert store.get_document_count() == 50
    assert store.problem() is None
    store.close()
