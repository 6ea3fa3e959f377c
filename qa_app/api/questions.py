"""The queue before the reader: bounded, with a deadline for each request, and batches where questions allow it.

The reader is one, and its tokenizer takes one caller at a time, so one thread serves it. While it reads, requests wait;
those that ask with the same parameters are read together.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from litestar.exceptions import HTTPException

from qa_app.api.metrics import Metrics
from qa_app.errors import DeadlineError, OverloadedError, StoreError

#: Does the work: payloads of one kind in, a result for each out. Called in the queue's thread with a deadline by
#: ``time.monotonic``, after which it may give up.
Work = Callable[[Hashable, list[Any], float], list[Any]]

T = TypeVar("T")


@dataclass(eq=False)
class _Item:
    kind: Hashable
    payload: Any
    deadline: float
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    cancelled: bool = False

    def finish(self, result: Any, error: BaseException | None) -> None:
        def settle() -> None:
            if not self.future.done():
                if error is None:
                    self.future.set_result(result)
                else:
                    self.future.set_exception(error)

        with contextlib.suppress(RuntimeError):  # the server has stopped, and nobody waits any more
            self.loop.call_soon_threadsafe(settle)


class ReaderQueue:
    """At most ``length`` requests wait; at most ``batch`` of one kind are worked on at once."""

    def __init__(self, work: Work, length: int, batch: int, metrics: Metrics) -> None:
        self._work = work
        self._length = length
        self._batch = batch
        self._metrics = metrics
        self._waiting: deque[_Item] = deque()
        self._changed = threading.Condition()
        self._closed = False
        #: Seconds of one piece of work, smoothed; what Retry-After is reckoned with.
        self._pace = 0.5
        self._thread = threading.Thread(target=self._serve, name="reader", daemon=True)
        self._thread.start()

    async def submit(self, kind: Hashable, payload: Any, seconds: float, *, queued: bool = True) -> Any:
        """The result of the work on ``payload``, within ``seconds``.

        With ``queued`` False the request has its place already, as the further pieces of a large one do. Raises
        OverloadedError where too many wait, DeadlineError, and whatever the work raises. Cancelling takes a waiting
        request out of the queue.
        """
        loop = asyncio.get_running_loop()
        item = _Item(kind, payload, time.monotonic() + seconds, loop, loop.create_future())
        with self._changed:
            waiting = len(self._waiting)
            if queued and waiting >= self._length:
                raise OverloadedError(
                    f"{waiting} requests are waiting for the reader already; try again",
                    retry_after=max(1, math.ceil(waiting / self._batch * self._pace)),
                )
            self._waiting.append(item)
            self._metrics.waiting.set(len(self._waiting))
            self._changed.notify()
        try:
            return await asyncio.wait_for(item.future, seconds)
        except asyncio.TimeoutError:
            raise DeadlineError(f"there was no answer within {seconds:g} s; ask again, or for fewer passages") from None
        finally:
            item.cancelled = True
            with self._changed:
                if item in self._waiting:
                    self._waiting.remove(item)
                    self._metrics.waiting.set(len(self._waiting))

    def close(self) -> None:
        """Ends the thread after the work at hand."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout=60)

    def _next(self) -> list[_Item]:
        """The first request and others of its kind, in the order they came; none at the end."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if self._closed:
                return []
            kind = self._waiting[0].kind
            chosen = [item for item in self._waiting if item.kind == kind][: self._batch]
            for item in chosen:
                self._waiting.remove(item)
            self._metrics.waiting.set(len(self._waiting))
            return chosen

    def _serve(self) -> None:
        while items := self._next():
            items = [item for item in items if not item.cancelled]
            if not items:
                continue
            self._metrics.reading.set(len(items))
            self._metrics.batch.observe(len(items))
            started = time.monotonic()
            try:
                self._finish(items)
            finally:
                self._metrics.reading.set(0)
            self._pace += 0.2 * (time.monotonic() - started - self._pace)

    def _finish(self, items: list[_Item]) -> None:
        try:
            results = self._work(items[0].kind, [item.payload for item in items], max(item.deadline for item in items))
        except BaseException as error:  # noqa: BLE001 - the tokenizer's panic is no Exception; those who wait are told
            if len(items) > 1 and not isinstance(error, (DeadlineError, StoreError)):
                # One of them may have spoilt it for all.
                for item in items:
                    self._finish([item])
                return
            for item in items:
                item.finish(None, error)
            return
        for item, result in zip(items, results, strict=True):
            item.finish(result, None)


async def unless_gone(receive: Callable[[], Awaitable[Any]], answer: Awaitable[T]) -> T:
    """``answer``, given up where the client goes away first, which then raises (status 499, seen by the log alone)."""
    asked = asyncio.ensure_future(answer)

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    watch = asyncio.ensure_future(gone())
    try:
        await asyncio.wait({asked, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            asked.cancel()
            raise HTTPException(status_code=499, detail="the client went away")
        return asked.result()
    finally:
        watch.cancel()
