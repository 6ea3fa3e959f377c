"""Uploads as durable jobs: done once, in order and whatever happens; and their originals."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
import time
import unicodedata
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from haystack.schema import Document
from hypothesis import example, given
from hypothesis import strategies as st

from qa_app import bootstrap
from qa_app.errors import FileRejectedError, InvalidRequestError, NotFoundError, StoreFullError, StoreUnavailableError
from qa_app.pipelines import job_runner
from qa_app.pipelines import jobs as jobs_module
from qa_app.pipelines.holding import held
from qa_app.pipelines.jobs import Job, Jobs
from qa_app.pipelines.names import cleaned
from qa_app.pipelines.originals import Originals
from qa_app.pipelines.uploads import Uploads
from qa_app.settings import Settings
from qa_app.stores.sqlite import SQLiteDocumentStore
from tests.ingesting import settings_for
from tests.uploading import eventually, finished, upload, uploading


class FaultyStore(SQLiteDocumentStore):
    """The embedded store, which counts what is written, and raises ``error`` in its place where there is one."""

    error: Exception | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.written: list[str] = []
        self.attempts = 0
        self.at_write = threading.Event()
        self.may_write = threading.Event()
        self.may_write.set()

    def write_files(self, files: Sequence[tuple[Document, Sequence[Document]]], index: str | None = None) -> list[str]:
        self.attempts += 1
        self.at_write.set()
        assert self.may_write.wait(60)
        if self.error is not None:
            raise self.error
        self.written += [str(file.meta.get("name")) for file, _ in files]
        return super().write_files(files, index)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty data folder."""
    return settings_for(tmp_path / "data")


@pytest.fixture
def store(settings: Settings) -> Iterator[FaultyStore]:
    """An empty store in that folder."""
    opened = FaultyStore(settings.data_path / "store.sqlite")
    yield opened
    opened.close()


def contents(store: SQLiteDocumentStore) -> dict[str, list[str]]:
    """The texts of the files by their names."""
    found: dict[str, list[str]] = {}
    for file in store.get_all_files():
        whole = store.get_file(file.id)
        assert whole is not None
        found.setdefault(file.meta["name"], []).append(whole.content)
    return {name: sorted(texts) for name, texts in found.items()}


def wait_for(uploads: Uploads, job: Job) -> None:
    """As a client does that waits for the end; raises what it is told."""
    while uploads.outcome(job.id).status != "done":
        time.sleep(0.01)


def originals_on_disk(settings: Settings) -> list[bytes]:
    return sorted(path.read_bytes() for path in settings.data_path.glob("originals/**/*") if path.is_file())


# -- order, counts, several runners ------------------------------------------------------------------------------------


def test_many_files(settings: Settings, store: FaultyStore) -> None:
    """A job of 300 files ends with each of them in its place, indexed once, whatever else is rejected."""
    files = [(f"{n:03}.txt", f"Text of file {n}." if n % 50 else b"") for n in range(300)]
    with uploading(settings, store) as uploads:
        [job] = finished(uploads, upload(uploads, files))
    assert [(file.name, file.size) for file in job.files] == [(name, len(content)) for name, content in files]
    assert Counter((file.status, file.reason) for file in job.files) == {
        ("indexed", None): 294,
        ("rejected", "empty_file"): 6,
    }
    assert sorted(store.written) == [name for name, content in files if content]
    assert len(contents(store)) == len(originals_on_disk(settings)) == 294
    assert {file.file_id for file in job.files} - {None} == {file.id for file in store.get_all_files()}


def test_two_runners_share_the_jobs(settings: Settings, store: FaultyStore) -> None:
    """Two servers over one folder and store do every job once, whoever took it."""
    other = FaultyStore(store.path)
    with uploading(settings, store) as first, uploading(settings, other) as second:
        jobs = [
            upload((first, second)[n % 2], {f"{n}-{i}.txt": f"Text {i} of upload {n}." for i in range(5)})
            for n in range(20)
        ]
        ended = finished(first, *jobs)
    assert {file.status for job in ended for file in job.files} == {"indexed"}
    assert Counter(store.written + other.written) == Counter(f"{n}-{i}.txt" for n in range(20) for i in range(5))
    assert store.get_document_count() == 100
    other.close()


def test_jobs_with_files_of_one_name_keep_their_order(settings: Settings, store: FaultyStore) -> None:
    """Of many replacements at once, by two servers, the last one stands, alone and with its original."""
    other = FaultyStore(store.path)
    with uploading(settings, store) as first, uploading(settings, other) as second:
        jobs = [
            upload((first, second)[n % 2], {"a.txt": f"Version {n}.", f"{n}.txt": "Beside."}, replace=n % 4 > 0)
            for n in range(24)
        ]
        ended = finished(first, *jobs)
    assert {file.status for job in ended for file in job.files} == {"indexed"}
    found = contents(store)
    assert found.pop("a.txt") == ["Version 23."]
    assert len(found) == 24
    assert originals_on_disk(settings) == [b"Beside."] * 24 + [b"Version 23."]
    other.close()


def test_the_same_file_twice_at_once(settings: Settings, store: FaultyStore) -> None:
    """Uploads of one file at the same time make one file, whose original is kept."""
    with uploading(settings, store) as uploads:
        ended = finished(uploads, *[upload(uploads, {"a.txt": "Ada."}) for _ in range(8)])
    assert [job.files[0].status for job in ended] == ["indexed", *["unchanged"] * 7]
    assert contents(store) == {"a.txt": ["Ada."]}
    assert originals_on_disk(settings) == [b"Ada."]


def test_one_upload_with_files_of_one_name(settings: Settings, store: FaultyStore) -> None:
    """Files of one name in one upload stay beside each other, and with replace the last one stands."""
    pair = [("a.txt", "One."), ("a.txt", "Two.")]
    with uploading(settings, store) as uploads:
        [job] = finished(uploads, upload(uploads, pair))
        assert [file.status for file in job.files] == ["indexed", "indexed"]
        assert contents(store) == {"a.txt": ["One.", "Two."]}
        finished(uploads, upload(uploads, [*pair, ("a.txt", "Three.")], replace=True))
    assert contents(store) == {"a.txt": ["Three."]}
    assert originals_on_disk(settings) == [b"Three."]


@pytest.mark.elasticsearch
def test_replacing_on_a_server(settings: Settings, elasticsearch_url: str) -> None:
    """On Elasticsearch too, where what is written is found only later, the last replacement stands alone."""
    index = f"jobs-{uuid.uuid4().hex[:8]}"
    settings = settings_for(settings.data_path, elasticsearch_url, index=index)
    with (
        bootstrap.open_store(settings) as store,
        uploading(settings, store) as first,
        uploading(settings, store) as second,
    ):
        finished(first, upload(first, [("a.txt", "One."), ("a.txt", "Two.")], replace=True))
        assert [passage.content for passage in store.get_all_documents()] == ["Two."]
        finished(first, *[upload((first, second)[n % 2], {"a.txt": f"Version {n}."}, replace=True) for n in range(8)])
        assert [passage.content for passage in store.get_all_documents()] == ["Version 7."]
        assert originals_on_disk(settings) == [b"Version 7."]
        store.delete_index(index)


@pytest.mark.elasticsearch
def test_two_data_folders_over_one_server(tmp_path: Path, elasticsearch_url: str) -> None:
    """Servers that share the index alone, and upload the same files at once, both end with them and their originals."""
    index = f"jobs-{uuid.uuid4().hex[:8]}"
    one, two = (settings_for(tmp_path / name, elasticsearch_url, index=index) for name in ("one", "two"))
    files = {f"{n}.txt": f"Text {n}." for n in range(10)}
    with bootstrap.open_store(one) as store, uploading(one) as first, uploading(two) as second:
        jobs = [upload(uploads, files, {"round": n}) for n in range(4) for uploads in (first, second)]
        ended = finished(first, *jobs[::2]) + finished(second, *jobs[1::2])
        assert {file.status for job in ended for file in job.files} <= {"indexed", "unchanged"}
        assert sorted(passage.content for passage in store.get_all_documents()) == sorted(files.values())
        store.delete_index(index)
    assert originals_on_disk(one) == originals_on_disk(two) == sorted(text.encode() for text in files.values())


def test_a_replacement_that_is_rejected(settings: Settings, store: FaultyStore) -> None:
    """What should replace a file, but has no text, leaves it and its original as they are."""
    with uploading(settings, store) as uploads:
        finished(uploads, upload(uploads, {"a.txt": "One."}))
        [job] = finished(uploads, upload(uploads, {"a.txt": "   "}, replace=True))
    assert job.files[0].reason == "no_text"
    assert contents(store) == {"a.txt": ["One."]}
    assert originals_on_disk(settings) == [b"One."]


def test_messages_are_as_they_were_raised(settings: Settings, store: FaultyStore) -> None:
    """A rejection's message holds no name of ours, nor the file's in the place of a number."""
    with uploading(settings, store) as uploads:
        [job] = finished(uploads, upload(uploads, {"README": b"%PDF-1.0 0 0", "0": bytes(range(256)) * 10}))
    for file in job.files:
        assert file.status == "rejected"
        assert "README" not in file.message
        assert str(settings.data_path) not in file.message


def test_an_upload_is_taken_up_at_once(settings: Settings, store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner that waits hears of a new upload, and need not look for it."""
    monkeypatch.setattr(job_runner, "_LOOK", 1000.0)
    with uploading(settings, store) as uploads:
        for n in range(5):
            finished(uploads, upload(uploads, {f"{n}.txt": "Text."}))


# -- what fails --------------------------------------------------------------------------------------------------------


@pytest.mark.case("E2", "E5")
@pytest.mark.parametrize("error", [StoreUnavailableError("the store is away"), StoreFullError("no space is left")])
def test_a_store_that_fails_for_a_while(settings: Settings, store: FaultyStore, error: Exception) -> None:
    """A job waits for the store, says why, keeps nothing half done, and completes when the store is back."""
    store.error = error
    with uploading(settings, store) as uploads:
        job = upload(uploads, {"a.txt": "Ada.", "empty.txt": b""})
        eventually(lambda: uploads.jobs.get(job.id).status == "waiting", "the job waits")
        assert uploads.jobs.get(job.id).message == str(error)
        assert uploads.unfinished() == 1
        eventually(lambda: store.attempts > 1, "it is tried again")
        assert contents(store) == {}
        assert originals_on_disk(settings) == []
        store.error = None
        [ended] = finished(uploads, job)
    assert [file.status for file in ended.files] == ["indexed", "rejected"]
    assert ended.message == ""
    assert contents(store) == {"a.txt": ["Ada."]}


@pytest.mark.parametrize("error", [StoreUnavailableError("the store is away"), StoreFullError("no space is left")])
def test_who_waits_for_a_job_is_told(settings: Settings, store: FaultyStore, error: Exception) -> None:
    """A job that cannot go on is dropped, without leavings, for somebody who waits and is given the store's error."""
    store.error = error
    with uploading(settings, store) as uploads:
        job = upload(uploads, {"a.txt": "Ada."})
        with pytest.raises(type(error), match=str(error)):
            wait_for(uploads, job)
        store.error = None
        with pytest.raises(NotFoundError):
            uploads.jobs.get(job.id)
        finished(uploads, upload(uploads, {"b.txt": "Bo."}))
    assert contents(store) == {"b.txt": ["Bo."]}
    assert originals_on_disk(settings) == [b"Bo."]
    assert [path.name for path in (settings.data_path / "jobs").iterdir()] == ["done"]


def test_a_job_that_goes_on_is_not_dropped(
    settings: Settings, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who waits for a job that was waiting, but ends just now, is given its end."""
    store.error = StoreUnavailableError("the store is away")
    with uploading(settings, store) as uploads:
        job = upload(uploads, {"a.txt": "Ada."})
        eventually(lambda: uploads.jobs.get(job.id).status == "waiting", "the job waits")
        waiting = uploads.jobs.get(job.id)
        store.error = None
        [ended] = finished(uploads, job)
        real, answers = uploads.jobs.get, [waiting]
        monkeypatch.setattr(uploads.jobs, "get", lambda id: answers.pop() if answers else real(id))
        assert uploads.outcome(job.id) == ended


def test_an_error_that_nobody_expected(settings: Settings, store: FaultyStore) -> None:
    """A bug costs one upload: its files are rejected as crashed, with no leavings, and the next upload works."""
    with uploading(settings, store) as uploads:
        store.error = ZeroDivisionError("a bug")
        [job] = finished(uploads, upload(uploads, {"a.txt": "Ada.", "b.txt": "Bo."}))
        store.error = None
        assert [(file.status, file.reason) for file in job.files] == [("rejected", "crashed")] * 2
        assert "ZeroDivisionError" in job.files[0].message
        [after] = finished(uploads, upload(uploads, {"a.txt": "Ada."}))
    assert after.files[0].status == "indexed"
    assert originals_on_disk(settings) == [b"Ada."]


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"files": [3]}', None])
def test_a_damaged_job(settings: Settings, store: FaultyStore, record: bytes | None) -> None:
    """A job whose record cannot be read is told to be done without files, once, and holds up no other."""
    jobs = Jobs(settings.data_path / "jobs", 2**20)
    with jobs.receive() as intake:
        sink = intake.add("a.txt")
        sink.write(b"Ada.")
        sink.close()
        damaged = jobs.accept(intake, "documents", {}, replace=False)
    path = jobs.folder / damaged.id / "job.json"
    path.unlink() if record is None else path.write_bytes(record)
    with uploading(settings, store) as uploads:
        job = upload(uploads, {"b.txt": "Bo."})
        first, second = finished(uploads, damaged, job)
        eventually(lambda: uploads.unfinished() == 0, "nothing is left to try")
    assert first.files == ()
    assert second.files[0].status == "indexed"


@pytest.mark.case("E16")
def test_a_folder_that_cannot_be_written_holds_up_no_other(
    settings: Settings, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job whose record cannot be written, as on a full disk, stays accepted, and others go on."""
    jobs = Jobs(settings.data_path / "jobs", 2**20)
    with jobs.receive() as intake:
        blocked = jobs.accept(intake, "documents", {}, replace=False)
    obstacle = jobs.folder / blocked.id / "job.json.new"
    obstacle.mkdir()
    with uploading(settings, store) as uploads:
        finished(uploads, upload(uploads, {"b.txt": "Bo."}))
        assert uploads.jobs.get(blocked.id).status == "queued"
        obstacle.rmdir()
        finished(uploads, blocked)


def test_what_is_received_but_not_accepted(settings: Settings, store: FaultyStore) -> None:
    """An upload that breaks off, is too large or has wrong metadata leaves nothing on the disk."""
    settings = settings_for(settings.data_path, ingest_max_file_mb=1)
    with uploading(settings, store) as uploads:
        with contextlib.suppress(ConnectionError), uploads.receive() as intake:
            intake.add("a.txt").write(b"Half a te")
            raise ConnectionError
        with pytest.raises(FileRejectedError, match="1 MB"):
            upload(uploads, {"a.txt": "a" * (2**20 + 1)})
        for meta in ({"file_id": "x"}, {"a": [1]}, {"a": {"b": 1}}):
            with pytest.raises(InvalidRequestError):
                upload(uploads, {"a.txt": "Ada."}, meta)
        assert uploads.unfinished() == 0
    assert list((settings.data_path / "jobs").iterdir()) == []


@pytest.mark.case("E15")
def test_a_stop_leaves_the_rest_to_the_next_start(settings: Settings, store: FaultyStore) -> None:
    """A runner that is closed ends after its batch; the next one completes the job, and writes no batch twice."""
    files = [("a.txt", f"Version {n}.") for n in range(4)]  # of one name, so that each is a batch
    store.may_write.clear()
    with uploading(settings, store) as uploads:
        job = upload(uploads, files)
        assert store.at_write.wait(60)
        closing = threading.Timer(0.2, store.may_write.set)
        closing.start()
    closing.join()
    stopped = Jobs(settings.data_path / "jobs", 2**20).get(job.id)
    assert stopped.status == "queued"
    assert 0 < len(stopped.pending) < 4
    with uploading(settings, store) as uploads:
        [ended] = finished(uploads, job)
    assert [file.status for file in ended.files] == ["indexed"] * 4
    assert len(store.written) == 4


# -- sweeping ----------------------------------------------------------------------------------------------------------


def age(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(folder, (then, then))


def test_sweeping(settings: Settings, store: FaultyStore) -> None:
    """Finished jobs are kept for their week; jobs that are not done, and intakes that are at work, for ever."""
    with uploading(settings, store) as uploads:
        old, new = finished(uploads, upload(uploads, {"a.txt": "Ada."}), upload(uploads, {"b.txt": "Bo."}))
    jobs = Jobs(settings.data_path / "jobs", 2**20)
    age(jobs.done / old.id, jobs_module.KEPT + 60)
    age(jobs.done / new.id, jobs_module.KEPT - 60)
    with jobs.receive() as intake:
        waiting = jobs.accept(intake, "documents", {}, replace=False)
    age(jobs.folder / waiting.id, jobs_module.KEPT * 10)
    left = jobs.folder / f".incoming-{'a' * 32}"
    left.mkdir()
    (left / "0.txt").write_text("Half a te")
    with jobs.receive() as intake:
        jobs.sweep()
        assert intake.folder.exists()
    assert not left.exists()
    assert jobs.get(new.id) == new
    assert jobs.get(waiting.id) == waiting
    with pytest.raises(NotFoundError):
        jobs.get(old.id)


def test_a_sweep_takes_no_new_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload whose folder another process sweeps away before it is held begins in another one."""
    jobs = Jobs(tmp_path / "jobs", 2**20)
    sweeps = iter([jobs.sweep])

    def swept_before(folder: Path, **options: bool) -> Any:
        next(sweeps, lambda: None)()
        return held(folder, **options)

    monkeypatch.setattr(jobs_module, "held", swept_before)
    with jobs.receive() as intake:
        sink = intake.add("a.txt")
        sink.write(b"Ada.")
        sink.close()
        job = jobs.accept(intake, "documents", {}, replace=False)
    assert next(sweeps, None) is None
    assert (jobs.folder / job.id / job.files[0].staged).read_bytes() == b"Ada."


# -- deleting ----------------------------------------------------------------------------------------------------------


def places_of(word: bytes, folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and word in path.read_bytes()]


@pytest.mark.case("D4")
@pytest.mark.parametrize("how", ["file", "filters", "everything", "cancelled", "rejected"])
def test_d4_no_trace_of_what_was_deleted(settings: Settings, store: FaultyStore, how: str) -> None:
    """When the runner has nothing else to do, no file of the data folder holds a word of what was deleted."""
    secret, kept = "Quetzalcoatlus", "Pterodactylus"
    text = f"The {secret} flew. " * 200
    with uploading(settings, store) as uploads:
        finished(uploads, upload(uploads, {"b.txt": f"The {kept} flew. " * 200}))
        if how == "cancelled":
            store.error = StoreUnavailableError("the store is away")
        content = f"%PDF-1.7 {text}" if how == "rejected" else text
        job = upload(uploads, {"a.txt": content}, {"kind": "secret"})
        if how == "cancelled":
            with pytest.raises(StoreUnavailableError):
                wait_for(uploads, job)
        else:
            [ended] = finished(uploads, job)
            assert (ended.files[0].status == "rejected") == (how == "rejected")
        if how == "file":
            assert places_of(secret.encode(), settings.data_path)
            uploads.delete_file(ended.files[0].file_id or "")
        elif how == "filters":
            uploads.delete_documents({"kind": "secret"})
        elif how == "everything":
            uploads.delete_everything("documents")
            finished(uploads, upload(uploads, {"c.txt": f"The {kept} flew."}))
        for word in (secret, secret.lower(), secret[:12]):
            eventually(lambda word=word: not places_of(word.encode(), settings.data_path), f"no {word} is left")  # type: ignore[misc]
        assert places_of(kept.encode(), settings.data_path)
        assert store.problem() is None


@pytest.mark.case("D4")
def test_a_deletion_that_was_cut_off_is_wiped_too(settings: Settings, store: FaultyStore) -> None:
    """Traces are wiped by the next process where the one that deleted, or wiped, was killed at it."""
    secret, data = b"Quetzalcoatlus", settings.data_path
    for left in ("wipe", "wipe.begun"):
        with uploading(settings, store) as uploads:
            [job] = finished(uploads, upload(uploads, {"a.txt": secret * 300}))
        store.delete_files([job.files[0].file_id or ""])
        shutil.rmtree(data / "originals")
        assert places_of(secret, data)
        (data / left).touch()
        with uploading(settings, store):
            eventually(lambda: not list(data.glob("wipe*")), "it is wiped")
        assert not places_of(secret, data)


def test_deleting_before_the_first_upload(tmp_path: Path) -> None:
    """A file may be deleted where nothing was ever uploaded, and the data folder is not there yet."""
    store = FaultyStore(tmp_path / "elsewhere" / "store.sqlite")
    store.write_files([(Document("Text.", id="f", meta={"sha256": "0"}), [])])
    with uploading(settings_for(tmp_path / "data"), store) as uploads:
        uploads.delete_file("f")
        with pytest.raises(NotFoundError):
            uploads.delete_file("f")
    store.close()


@pytest.mark.case("D4")
def test_a_file_that_is_deleted_as_it_is_indexed(
    settings: Settings, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is deleted between its writing and the keeping of its original leaves no original."""
    real = Originals.put

    def put(self: Originals, staged: Path, index: str, file_id: str, sha256: str) -> bool:
        uploads.delete_file(file_id)
        return real(self, staged, index, file_id, sha256)

    monkeypatch.setattr(Originals, "put", put)
    with uploading(settings, store) as uploads:
        finished(uploads, upload(uploads, {"a.txt": "Ada."}))
    assert contents(store) == {}
    assert originals_on_disk(settings) == []


# -- originals ---------------------------------------------------------------------------------------------------------


def record(content: bytes, id: str = "f", **meta: Any) -> Document:
    return Document("", id=id, meta={"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), **meta})


def test_originals_are_given_back(tmp_path: Path) -> None:
    """The very bytes come back, from the folder or from where a file was ingested, as long as they are those."""
    originals = Originals(tmp_path / "originals")
    content = os.urandom(3 * 2**20)
    staged = tmp_path / "staged"
    staged.write_bytes(content)
    file = record(content, source=str(staged))
    with originals.open(file, "documents") as found:
        assert found.read() == content
    assert originals.put(staged, "documents", file.id, file.meta["sha256"])
    assert not originals.put(staged, "documents", file.id, file.meta["sha256"])
    staged.unlink()
    with originals.open(file, "documents") as found:
        assert found.read() == content
    with pytest.raises(NotFoundError):
        originals.open(file, "others")
    originals.remove_all("documents")
    originals.remove_all("documents")
    with pytest.raises(NotFoundError):
        originals.open(file, "documents")


def test_originals_are_copied_where_links_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without links, originals are copies; one that was broken off is not taken for the file."""
    originals, staged = Originals(tmp_path / "originals"), tmp_path / "job" / "0.txt"
    staged.parent.mkdir()
    staged.write_bytes(b"Ada.")
    file = record(b"Ada.")

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    def break_off(_: object, to: Path) -> None:
        to.write_bytes(b"A")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", refuse)
    real = shutil.copyfile
    monkeypatch.setattr(shutil, "copyfile", break_off)
    with pytest.raises(StoreFullError):
        originals.put(staged, "documents", file.id, file.meta["sha256"])
    with pytest.raises(NotFoundError):
        originals.open(file, "documents")
    monkeypatch.setattr(shutil, "copyfile", real)
    originals.put(staged, "documents", file.id, file.meta["sha256"])
    with originals.open(file, "documents") as found:
        assert found.read() == b"Ada."
    assert [path.read_bytes() for path in (tmp_path / "originals").rglob("*") if path.is_file()] == [b"Ada."]


def test_originals_open_nothing_else(tmp_path: Path) -> None:
    """A record from a foreign archive opens no other file of this machine, no pipe, folder or device."""
    originals = Originals(tmp_path / "originals")
    secret = tmp_path / "secret"
    secret.write_text("of this machine")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    vanished = tmp_path / "gone.txt"
    before = len(list(Path("/proc/self/fd").iterdir()))
    sources = [
        secret,
        pipe,
        tmp_path,
        vanished,
        "/dev/zero",
        "/proc/self/environ",
        "a\0b",
        "",
        "x" * 5000,
        secret / "x",
    ]
    for source in sources:
        for size in (15, 0, None):
            file = record(b"what was indexed", source=str(source))
            file.meta["size"] = size
            if size is None:
                del file.meta["size"]
            with pytest.raises(NotFoundError):
                originals.open(file, "documents")
    for sha256 in ("", "é" * 64, "../../secret", None):
        with pytest.raises(NotFoundError):
            originals.open(Document("", id="f", meta={"sha256": sha256, "source": str(secret)}), "documents")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.case("F18")
@pytest.mark.parametrize("name", ["../x", "..", ".", "a/b", "/etc/passwd", "x" * 1000, "é" * 200, "a\nb", "A", "", " "])
def test_originals_stay_within_their_folder(tmp_path: Path, name: str) -> None:
    """Whatever ids and hashes imported records have, and whatever an index is called, all stays within the folder."""
    folder = tmp_path / "data" / "originals"
    staged = tmp_path / "staged"
    staged.write_bytes(b"Ada.")
    originals = Originals(folder)
    around = sorted(tmp_path.rglob("*"))
    for index, id, sha256 in ((name, "f", "0" * 64), ("documents", name, "0" * 64), ("documents", "f", name)):
        originals.put(staged, index, id, sha256)
        [kept] = [path for path in folder.rglob("*") if path.is_file()]
        assert kept.parent.parent == folder
        assert kept.name.isascii()
        originals.remove_others(index, id, sha256)
        originals.sync(index)
        assert kept.exists()
        originals.remove(index, id, sha256)
        assert not kept.exists()
        originals.remove_all(index)
    assert sorted(path for path in tmp_path.rglob("*") if "data" not in path.parts) == around
    assert list(folder.iterdir()) == []


# -- names -------------------------------------------------------------------------------------------------------------

ODD = st.sampled_from(list("\0\n\r\x1b\x7f\x85\u2028\u2029\u202e\u2066\u200b\u0301\ud800/\\.. \u3000é😀"))


@pytest.mark.case("F18")
@given(st.lists(st.one_of(ODD, st.characters(), st.text(max_size=120)), max_size=400).map("".join))
@example("a" * 250 + " " * 10 + "." + "b" * 20)
@example("a." + "b" * 400)
@example("." + "é" * 300 + ".md")
@example("\u200b")
@example("..\u202e..")
def test_cleaned_names(name: str) -> None:
    """A name is one line that shows something, without a path, of at most 255 bytes, and stays as it is."""
    shown = cleaned(name)
    assert 0 < len(shown.encode()) <= 255
    assert not set(shown) & set("/\\\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert {unicodedata.category(character) for character in shown} & {"Cc", "Cs", "Zl", "Zp"} == set()
    assert any(unicodedata.category(character)[0] in "LNSP" for character in shown.replace(".", ""))
    assert shown == shown.strip()
    assert cleaned(shown) == shown


def test_long_names_keep_their_beginning_and_end() -> None:
    """What is cut off a long name is neither its beginning nor a short ending."""
    assert cleaned("report " + "x" * 400 + ".docx").startswith("report x")
    assert cleaned("report " + "x" * 400 + ".docx").endswith("x.docx")
    assert cleaned("v1." + "x" * 400) == "v1." + "x" * 252


def test_a_job_is_what_was_written(tmp_path: Path) -> None:
    """A job read back is the job that was accepted, metadata in every script included."""
    jobs = Jobs(tmp_path / "jobs", 2**20)
    with jobs.receive() as intake:
        intake.add("ünï.txt").close()
        job = jobs.accept(intake, "documents", {"title": "Überschrift 😀", "year": 2024, "draft": False}, replace=True)
    assert jobs.get(job.id) == job
    assert isinstance(job, Job)
    assert json.loads((jobs.folder / job.id / "job.json").read_text())["meta"]["title"] == "Überschrift 😀"
