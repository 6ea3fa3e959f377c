"""The list of uploads over the API."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from qa_app.pipelines.holding import held
from tests.ingesting import settings_for
from tests.serving import Server, client, server


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that nobody else uploads to."""
    with server(settings_for(tmp_path_factory.mktemp("jobs") / "data")) as running:
        yield running


@pytest.fixture
def api(quiet: Server) -> Iterator[httpx.Client]:
    """A client of that server, without jobs of other tests."""
    folder = jobs_folder(quiet)
    shutil.rmtree(folder / "done", ignore_errors=True)
    with client(quiet.url) as made:
        yield made


def jobs_folder(running: Server) -> Path:
    return running.services.uploads.jobs.folder


def uploaded(api: httpx.Client, *files: tuple[str, bytes]) -> str:
    """The id of the job of an upload that has ended."""
    answer = api.post("/files", files=[("files", file) for file in files])
    assert answer.status_code == 202, answer.text
    until = time.monotonic() + 60
    while api.get(answer.headers["location"]).json()["status"] != "done":
        assert time.monotonic() < until
        time.sleep(0.05)
    return str(answer.json()["id"])


def ids(api: httpx.Client, **query: Any) -> list[str]:
    answer = api.get("/jobs", params=query)
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["jobs"]]


def test_the_newest_first(api: httpx.Client) -> None:
    """Uploads are listed with the last one first, also those of one second, each as /jobs/{id} has it."""
    made = [uploaded(api, (f"{n}.txt", f"Text number {n}.".encode())) for n in range(6)]
    assert ids(api) == made[::-1]
    assert ids(api, limit=2) == made[:-3:-1]
    listed = api.get("/jobs").json()["jobs"]
    assert listed == [api.get(f"/jobs/{id}").json() for id in made[::-1]]


def test_those_with_a_rejected_file(api: httpx.Client) -> None:
    """With rejected, uploads are listed of which a file was not taken, with the reason; the limit counts these."""
    bad = uploaded(api, ("good.txt", b"Good text."), ("empty.txt", b""))
    older = uploaded(api, ("blank.txt", b" \n"))
    good = uploaded(api, ("fine.txt", b"Fine text."))
    assert ids(api, rejected=True) == [older, bad]
    assert ids(api, rejected=True, limit=1) == [older]
    assert ids(api, rejected=False) == [good, older, bad]
    [_, job] = api.get("/jobs", params={"rejected": True}).json()["jobs"]
    assert [(file["name"], file["reason"]) for file in job["files"]] == [
        ("good.txt", None),
        ("empty.txt", "empty_file"),
    ]


def test_an_upload_that_is_not_done(api: httpx.Client, quiet: Server) -> None:
    """An upload that waits to be indexed is listed before older ones that are done."""
    done = uploaded(api, ("a.txt", b"Done."))
    jobs = quiet.services.uploads.jobs
    job = json.loads((jobs.done / done / "job.json").read_text())
    waiting = uuid.uuid4().hex
    incoming = jobs.folder / f".incoming-{waiting}"
    incoming.mkdir()
    (incoming / "job.json").write_text(json.dumps({**job, "id": waiting, "status": "waiting", "message": "a disk"}))
    # Held as by the process that works on it, so that this one leaves it alone.
    with held(incoming):
        incoming.rename(jobs.folder / waiting)
        listed = api.get("/jobs").json()["jobs"]
        shutil.rmtree(jobs.folder / waiting)
    assert [(one["id"], one["status"], one["message"]) for one in listed] == [
        (waiting, "waiting", "a disk"),
        (done, "done", ""),
    ]


@pytest.mark.parametrize(
    "damage",
    [
        shutil.rmtree,
        lambda folder: (folder / "job.json").unlink(),
        lambda folder: (folder / "job.json").write_text(""),
        lambda folder: (folder / "job.json").write_text('{"id": "x"}'),
        lambda folder: (folder / "job.json").write_text("[]"),
        lambda folder: (folder / "job.json").write_bytes(b"\xff\xfe\x00"),
        lambda folder: (folder / "job.json").write_text("[" * 100_000),
        lambda folder: ((folder / "job.json").unlink(), (folder / "job.json").symlink_to("job.json")),
        lambda folder: ((folder / "job.json").unlink(), (folder / "job.json").mkdir()),
    ],
    ids=["gone", "empty folder", "no words", "fields lack", "a list", "no text", "deep", "a link loop", "a folder"],
)
def test_a_damaged_job_costs_itself_alone(api: httpx.Client, quiet: Server, damage: Any) -> None:
    """Whatever happens to one job's folder, the others are listed, and the limit counts only what is listed."""
    first, second, third = (uploaded(api, (f"{n}.txt", f"Number {n}.".encode())) for n in range(3))
    damage(jobs_folder(quiet) / "done" / second)
    (jobs_folder(quiet) / "done" / "no-job").mkdir()
    assert ids(api) == [third, first]
    assert ids(api, limit=2) == [third, first]


def test_no_uploads_yet(tmp_path: Path) -> None:
    """Where nothing was ever uploaded the list is empty."""
    with server(settings_for(tmp_path / "data")) as running, client(running.url) as api:
        assert api.get("/jobs").json() == {"jobs": []}


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "limit=1.5", "rejected=maybe"])
def test_odd_parameters(api: httpx.Client, query: str) -> None:
    """What the description does not allow is refused."""
    assert api.get(f"/jobs?{query}").status_code == 422
