"""The reader stops at its deadline and is as good as before."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from haystack.schema import Document

from qa_app.errors import DeadlineError
from qa_app.reading.deadline import check, deadline
from qa_app.reading.pairs import PairReader
from qa_app.reading.reader import PassageReader

QUESTION = "Who built the tower?"
TOWER = "The tower was built by Anna Berg in 1904. It is made of iron."
MANY = [Document(content=f"{TOWER} It has {i} floors.", id=f"d{i}") for i in range(30)]
BATCH = 2


@pytest.fixture(scope="module")
def reader() -> PassageReader:
    """The bundled reader, two windows a forward pass."""
    return PassageReader("bundled", engine="torch", max_seq_len=128, doc_stride=60, batch_size=BATCH)


@contextmanager
def passes(reader: PassageReader) -> Iterator[list[None]]:
    """A list that grows by one with each forward pass that is made."""
    made: list[None] = []
    hook = reader.inferencer.model.language_model.model.register_forward_hook(lambda *_: made.append(None))
    yield made
    hook.remove()


class TestClock:
    """Whose deadline holds, and for how long."""

    def test_none_is_set(self) -> None:
        """Without a deadline nothing is ever late."""
        check()

    def test_it_holds_within_the_block(self) -> None:
        """A deadline that is past raises inside its block and not after it, however the block ends."""
        with deadline(time.monotonic() + 1000):
            check()
        with pytest.raises(DeadlineError), deadline(time.monotonic() - 1):
            check()
        check()

    def test_the_earlier_holds(self) -> None:
        """A block inside another cannot have more time than that."""
        with deadline(time.monotonic() - 1), deadline(time.monotonic() + 1000), pytest.raises(DeadlineError):
            check()
        with deadline(time.monotonic() + 1000):
            with deadline(time.monotonic() - 1), pytest.raises(DeadlineError):
                check()
            check()

    def test_each_thread_has_its_own(self) -> None:
        """One thread's deadline does not stop another that began while it held."""
        ended: list[str] = []

        def other() -> None:
            check()
            ended.append("well")

        with deadline(time.monotonic() - 1):
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
        assert ended == ["well"]


@pytest.fixture(params=["predict", "predict_batch", "pairs"])
def read(request: pytest.FixtureRequest, reader: PassageReader) -> Callable[[], Any]:
    """A reading of many passages or contexts."""
    pairs = PairReader(reader)
    return {
        "predict": lambda: reader.predict(QUESTION, MANY)["answers"][0].answer,
        "predict_batch": lambda: reader.predict_batch([QUESTION], [MANY])["answers"][0][0].answer,
        "pairs": lambda: pairs.predict([(QUESTION, d.content) for d in MANY])[0].answer,
    }[request.param]


@pytest.mark.case("L4")
@pytest.mark.reader
class TestReading:
    """Asked before every forward pass."""

    def test_a_deadline_that_is_past(self, reader: PassageReader, read: Callable[[], Any]) -> None:
        """No forward pass is made, and the next reading is answered."""
        with passes(reader) as made:
            with deadline(time.monotonic()), pytest.raises(DeadlineError, match="in time"):
                read()
            assert not made
        assert read() == "Anna Berg"

    def test_a_deadline_that_passes_while_it_reads(self, reader: PassageReader, read: Callable[[], Any]) -> None:
        """Reading ends between two forward passes, and the next reading is answered."""
        with passes(reader) as made:
            assert read() == "Anna Berg"
            all_of_them = len(made)
            made.clear()
            until = time.monotonic() + 1000

            def run_out(*_: object) -> None:
                # The clock is real; the second pass alone uses the time up.
                if len(made) == 2:
                    time.sleep(max(0.0, until - time.monotonic()))

            hook = reader.inferencer.model.language_model.model.register_forward_hook(run_out)
            try:
                until = time.monotonic() + 1
                with deadline(until), pytest.raises(DeadlineError):
                    read()
            finally:
                hook.remove()
            assert 1 <= len(made) <= 2 < all_of_them
        assert read() == "Anna Berg"

    def test_time_enough(self, read: Callable[[], Any]) -> None:
        """A deadline that is far away changes nothing."""
        with deadline(time.monotonic() + 1000):
            assert read() == "Anna Berg"
