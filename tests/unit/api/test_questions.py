"""The queue before the reader: order, batches, bounds, deadlines, and never somebody else's answer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import pytest

from qa_app.api.metrics import Metrics
from qa_app.api.questions import ReaderQueue
from qa_app.errors import DeadlineError, InvalidRequestError, OverloadedError

Work = Callable[[Hashable, list[Any], float], list[Any]]


class Gated:
    """Work that waits until it is let go, and remembers its batches."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.started = threading.Event()
        self.batches: list[list[Any]] = []

    def __call__(self, kind: Hashable, payloads: list[Any], until: float) -> list[Any]:
        self.batches.append(list(payloads))
        self.started.set()
        assert self.free.wait(30)
        return [(kind, payload) for payload in payloads]


@pytest.fixture
def work() -> Gated:
    return Gated()


@pytest.fixture
def queue(work: Gated) -> Iterator[ReaderQueue]:
    made = ReaderQueue(work, length=3, batch=2, metrics=Metrics())
    yield made
    work.free.set()
    made.close()


async def _busy(queue: ReaderQueue, work: Gated) -> asyncio.Task[Any]:
    """A request that the work is at."""
    task = asyncio.create_task(queue.submit("first", 0, 30))
    await asyncio.to_thread(work.started.wait, 30)
    return task


def test_requests_of_one_kind_are_worked_on_together(queue: ReaderQueue, work: Gated) -> None:
    """Waiting requests of the first one's kind make a batch; others keep their turn."""

    async def main() -> list[Any]:
        first = await _busy(queue, work)
        rest = [asyncio.create_task(queue.submit(kind, n, 30)) for n, kind in enumerate("aba")]
        await asyncio.sleep(0.05)
        work.free.set()
        return list(await asyncio.gather(first, *rest))

    assert asyncio.run(main()) == [("first", 0), ("a", 0), ("b", 1), ("a", 2)]
    assert work.batches == [[0], [0, 2], [1]]


@pytest.mark.case("L2")
def test_a_full_queue_turns_away_at_once(queue: ReaderQueue, work: Gated) -> None:
    """L2: what does not fit into the queue is told so, with a time to wait, while the work goes on."""

    async def main() -> None:
        tasks = [await _busy(queue, work)]
        tasks += [asyncio.create_task(queue.submit("a", n, 30)) for n in range(3)]
        await asyncio.sleep(0.05)
        with pytest.raises(OverloadedError) as caught:
            await queue.submit("a", 4, 30)
        assert caught.value.retry_after >= 1
        work.free.set()
        assert len(await asyncio.gather(*tasks)) == 4

    asyncio.run(main())


@pytest.mark.case("L4")
def test_a_deadline_frees_the_place(queue: ReaderQueue, work: Gated) -> None:
    """A request that waited too long ends with DeadlineError, and is never worked on."""

    async def main() -> None:
        first = await _busy(queue, work)
        with pytest.raises(DeadlineError):
            await queue.submit("a", "late", 0.05)
        work.free.set()
        await first
        assert await queue.submit("a", "next", 30) == ("a", "next")

    asyncio.run(main())
    assert ["late"] not in work.batches


@pytest.mark.case("B18")
def test_a_client_that_goes_away_leaves_the_queue(queue: ReaderQueue, work: Gated) -> None:
    """B18: cancelling a waiting request takes it out, and the gauge goes back to none."""

    async def main() -> None:
        first = await _busy(queue, work)
        gone = asyncio.create_task(queue.submit("a", "gone", 30))
        await asyncio.sleep(0.05)
        assert queue._metrics.waiting._value.get() == 1
        gone.cancel()
        await asyncio.sleep(0.05)
        assert queue._metrics.waiting._value.get() == 0
        work.free.set()
        await first

    asyncio.run(main())
    assert work.batches == [[0]]


def test_one_bad_request_does_not_spoil_its_batch() -> None:
    """An error in a batch is its own request's alone."""

    def work(kind: Hashable, payloads: list[Any], until: float) -> list[Any]:
        time.sleep(0.05)
        if "bad" in payloads:
            raise InvalidRequestError("bad")
        return payloads

    queue = ReaderQueue(work, length=10, batch=4, metrics=Metrics())

    async def main() -> list[Any]:
        tasks = [queue.submit("a", payload, 30) for payload in ("x", "bad", "y", "z")]
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    results = asyncio.run(main())
    queue.close()
    assert [results[0], results[2], results[3]] == ["x", "y", "z"]
    assert isinstance(results[1], InvalidRequestError)


@pytest.mark.case("B17")
def test_answers_are_never_mixed_up() -> None:
    """B17: hundreds of concurrent requests of changing kinds each get their own answer."""

    def work(kind: Hashable, payloads: list[Any], until: float) -> list[Any]:
        return [f"{kind}-{payload}" for payload in payloads]

    queue = ReaderQueue(work, length=1000, batch=4, metrics=Metrics())

    async def main() -> list[str]:
        return list(await asyncio.gather(*[queue.submit(n % 3, n, 30) for n in range(500)]))

    results = asyncio.run(main())
    queue.close()
    assert results == [f"{n % 3}-{n}" for n in range(500)]
