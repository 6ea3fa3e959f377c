"""E18: clocks that somebody sets, while the application runs or between two runs of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest

from qa_app import bootstrap
from qa_app.api.keys import FailureLimit
from qa_app.errors import DeadlineError
from qa_app.pipelines.jobs import Jobs
from qa_app.reading import deadline
from qa_app.settings import Settings
from tests.contract.test_files_and_labels import label
from tests.faults.table import Figure
from tests.ingesting import settings_for
from tests.uploading import finished, uploading

DAY = 24 * 3600
LEAP = datetime(2028, 2, 29, 23, 59, 59, tzinfo=timezone.utc).timestamp()
#: Summer time ends: the local hour comes twice.
TWICE = datetime(2026, 10, 25, 1, 0, tzinfo=timezone.utc).timestamp()


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the wall clock, which then goes on from there; what counts elapsed time is not touched by it."""
    real = time.time

    def set_to(seconds: float) -> None:
        began = real()
        monkeypatch.setattr(time, "time", lambda: seconds + real() - began)
        monkeypatch.setattr(time, "time_ns", lambda: int(time.time() * 1e9))

    return set_to


@pytest.fixture(params=["sqlite", pytest.param("elasticsearch", marks=pytest.mark.elasticsearch)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Of an index of the test's own in either store."""
    address = request.getfixturevalue("elasticsearch_url") if request.param == "elasticsearch" else None
    return settings_for(tmp_path / "data", address, index=f"e18-{os.getpid()}")


@pytest.mark.case("E18")
def test_e18_judgements_keep_their_order(
    settings: Settings, set_clock: Callable[[float], None], figure: Figure
) -> None:
    """The order in which people judged stays, whatever the clock says when they do."""
    clocks = [LEAP, LEAP + 2, LEAP - DAY, LEAP + DAY, TWICE, TWICE - 3600, LEAP]
    with bootstrap.open_store(settings) as store:
        for number, clock in enumerate(clocks):
            set_clock(clock)
            store.write_labels([label(f"{number}a"), label(f"{number}b")])
        store.write_labels([label("0a", query="Which city?")])
        expected = [f"{number}{letter}" for number in range(len(clocks)) for letter in "ab"]
        assert [kept.id for kept in store.get_all_labels()] == expected
    figure(f"judgements in order under changing clocks in {settings.store}", len(expected))


@pytest.mark.case("E18")
def test_e18_the_later_upload_of_a_name_is_what_stays(tmp_path: Path) -> None:
    """Of two uploads that wait, the one that came later counts, though the clock was a day ahead at the first."""
    settings = settings_for(tmp_path / "data")
    with uploading(settings) as uploads:
        folder = uploads.jobs.folder
    waiting = Jobs(folder, 10**6)

    def put(text: bytes) -> str:
        with waiting.receive() as intake:
            sink = intake.add("tides.txt")
            sink.write(text)
            sink.close()
            return waiting.accept(intake, settings.index, {}, replace=True).id

    first = put(b"High water is at noon.")
    ahead = time.time_ns() + DAY * 10**9
    os.utime(folder / first / "lock", ns=(ahead, ahead))
    later = [put(b"High water is at one."), put(b"High water is at two.")]
    assert [path.name for path in waiting.unfinished()] == [first, *later]
    with bootstrap.open_store(settings) as store, uploading(settings, store) as uploads:
        finished(uploads, *[uploads.jobs.get(id) for id in (first, *later)])
        assert [passage.content for passage in store.get_all_documents()] == ["High water is at two."]


@pytest.mark.case("E18")
@pytest.mark.parametrize("clock", [-DAY, DAY, LEAP, TWICE])
def test_e18_no_deadline_and_no_limit_moves(set_clock: Callable[[float], None], clock: float) -> None:
    """A deadline ends after its seconds and a limit of so many a minute lasts a minute, when the clock is set."""
    limit = FailureLimit(3)
    with deadline.deadline(time.monotonic() + 1):
        assert [limit.failed("peer") for _ in range(3)] == [0, 0, 0]
        set_clock(clock if clock > DAY else time.time() + clock)
        deadline.check()
        assert 1 <= limit.failed("peer") <= 60
        time.sleep(1)
        with pytest.raises(DeadlineError):
            deadline.check()
