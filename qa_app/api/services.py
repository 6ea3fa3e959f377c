"""What the handlers ask: the store, the reader and the uploads, opened behind a server that listens already."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread
from litestar.di import NamedDependency

from qa_app import bootstrap
from qa_app.api.metrics import Metrics
from qa_app.api.questions import ReaderQueue
from qa_app.errors import DeadlineError, NotFoundError, NotReadyError, OverloadedError, QaAppError, SettingsError
from qa_app.settings import Settings

if TYPE_CHECKING:
    from haystack import Pipeline

    from qa_app.pipelines.uploads import Uploads
    from qa_app.reading.pairs import PairAnswer, PairReader
    from qa_app.reading.reader import PassageReader
    from qa_app.stores.passage_store import PassageStore

logger = logging.getLogger("qa_app.api")
T = TypeVar("T")

#: Threads for the store's work; the reader has its own.
_THREADS = 8
#: Calls that wait for one of them before others are turned away.
_WAITING = 64
#: Pairs read in one turn of the queue, a second or two of reading.
_PAIRS = 32
#: Seconds between two looks at the store.
_PROBE = 5.0
#: Seconds until another try to open what could not be opened.
_AGAIN = 10.0


class Services:
    """Opened by :meth:`start`, closed by :meth:`close`; what is not there yet raises why."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.queue = ReaderQueue(self._work, settings.api_queue, settings.api_batch, self.metrics)
        #: Called with an error that no waiting mends, such as a wrong password.
        self.on_fatal: Callable[[SettingsError], None] = lambda error: None
        self._opened = contextlib.ExitStack()
        where = settings.elasticsearch_url if settings.store == "elasticsearch" else "the data folder"
        self._store: PassageStore | QaAppError = NotReadyError(f"the store in {where} is being opened; try again soon")
        self._reader: PassageReader | QaAppError = NotReadyError("the reader is being loaded; try again soon")
        self._uploads: Uploads | None = None
        self._pipeline: Pipeline | None = None
        self._pairs: PairReader | None = None
        #: Why the store, once opened, does not answer now.
        self._store_problem: str | None = None
        self._stop = threading.Event()
        self._store_thread = threading.Thread(target=self._keep_store, name="store", daemon=True)
        self._reader_thread = threading.Thread(target=self._keep_reader, name="reader-loading", daemon=True)
        self._limiter: anyio.CapacityLimiter | None = None
        #: By index, its example questions.
        self.examples: dict[str, Any] = {}
        self.examples_lock = asyncio.Lock()
        self.metrics.ready.set_function(lambda: not self.missing())

    def start(self) -> None:
        """Begins to open everything; returns at once."""
        self._store_thread.start()

    def close(self) -> None:
        """Ends what runs at its next boundary, and lets go of the store."""
        self._stop.set()
        self.queue.close()
        for thread in (self._store_thread, self._reader_thread):
            if thread.is_alive():
                thread.join(timeout=30)
        self._opened.close()

    # -- what there is -------------------------------------------------------------------------------------------------

    @property
    def store(self) -> PassageStore:
        """The store; raises NotReadyError, or what kept it from being opened."""
        if isinstance(self._store, QaAppError):
            raise self._store
        return self._store

    @property
    def reader(self) -> PassageReader:
        """The reader; raises NotReadyError or ModelError."""
        if isinstance(self._reader, QaAppError):
            raise self._reader
        return self._reader

    @property
    def uploads(self) -> Uploads:
        """Jobs and originals; raises as :attr:`store` does."""
        assert self.store is not None
        if self._uploads is None:
            raise NotReadyError("uploads are being opened; try again soon")
        return self._uploads

    def missing(self) -> dict[str, str]:
        """What keeps questions from being answered, ``store`` or ``reader``, and why."""
        found = {}
        if isinstance(self._store, QaAppError):
            found["store"] = str(self._store)
        elif self._store_problem:
            found["store"] = self._store_problem
        if isinstance(self._reader, QaAppError):
            found["reader"] = str(self._reader)
        return found

    def check_index(self, index: str | None) -> None:
        """Raises NotFoundError for the name of an index that is not there; the default one may be still to come."""
        if index not in (None, self.settings.index) and index not in self.store.get_indexes():
            raise NotFoundError(f"there is no index {index!r}")

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """``function(*args)`` in a thread; raises OverloadedError where too many wait for one, and DeadlineError."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(_THREADS)
        if self._limiter.statistics().tasks_waiting >= _WAITING:
            raise OverloadedError(f"{_WAITING} requests are waiting for the store already; try again")
        seconds = self.settings.api_deadline
        with anyio.move_on_after(seconds) as waiting:
            async with self._limiter:
                waiting.deadline = math.inf  # what has begun ends by the store's own timeout
                return await anyio.to_thread.run_sync(function, *args, abandon_on_cancel=True)
        raise DeadlineError(f"the store was busy with other requests for {seconds:g} s; try again later")

    # -- reading -------------------------------------------------------------------------------------------------------

    async def ask(
        self, questions: Sequence[str], params: dict[str, Any], *, debug: bool = False
    ) -> list[dict[str, Any]]:
        """Haystack's answers to queries, in order; raises OverloadedError, DeadlineError, and what answering raises.

        Many questions go to the reader some at a time, so that others' come in between.
        """
        assert self.store is not None
        assert self.reader is not None
        if self.settings.api_log_questions:
            for question in questions:
                logger.info("question %s", ascii(question))
        kind = ("ask", json.dumps(params, sort_keys=True), debug)
        results: list[dict[str, Any]] = []
        for start in range(0, len(questions), self.settings.api_batch):
            some = questions[start : start + self.settings.api_batch]
            waiting = [
                self.queue.submit(kind, question, self.settings.api_deadline, queued=start + n == 0)
                for n, question in enumerate(some)
            ]
            results += await asyncio.gather(*waiting)
        return results

    async def read_pairs(self, pairs: Sequence[tuple[str, str]], *, impossible: bool) -> list[PairAnswer]:
        """The answer to each question in its context, in order; raises as :meth:`ask` does."""
        assert self.reader is not None
        results: list[PairAnswer] = []
        for start in range(0, len(pairs), _PAIRS):
            some = pairs[start : start + _PAIRS]
            seconds = self.settings.api_deadline
            results += await self.queue.submit(("pairs", impossible), (start, some), seconds, queued=start == 0)
        return results

    def _work(self, kind: Hashable, payloads: list[Any], until: float) -> list[Any]:
        """What the queue's thread does; see :meth:`ask` and :meth:`read_pairs` for the kinds."""
        from qa_app.reading.deadline import deadline

        assert isinstance(kind, tuple)
        with deadline(until):
            if kind[0] == "ask":
                return self._answers(payloads, json.loads(kind[1]), debug=kind[2])
            from qa_app.reading.pairs import PairReader

            if self._pairs is None:
                self._pairs = PairReader(self.reader)
            return [
                self._pairs.predict(pairs, handle_impossible_answer=kind[1], first=start) for start, pairs in payloads
            ]

    def _answers(self, questions: list[str], params: dict[str, Any], *, debug: bool) -> list[dict[str, Any]]:
        from qa_app.pipelines.answering import ask, ask_batch, run

        if self._pipeline is None:
            self._pipeline = bootstrap.build_answering(self.settings, self.store, self.reader)
        pipeline = self._pipeline
        retriever, reader = pipeline.get_node("Retriever"), pipeline.get_node("Reader")
        before = retriever.query_time, reader.query_time
        try:
            if debug:
                return [run(pipeline, query=question, params=params, debug=True) for question in questions]
            if len(questions) == 1:
                return [ask(pipeline, questions[0], params)]
            return ask_batch(pipeline, questions, params)
        finally:
            self.metrics.retriever_seconds.observe((retriever.query_time - before[0]) / len(questions))
            self.metrics.reader_seconds.observe((reader.query_time - before[1]) / len(questions))

    # -- opening -------------------------------------------------------------------------------------------------------

    def _keep_store(self) -> None:
        # Imported once, before two threads would import parts of it at the same time.
        import qa_app.nodes  # noqa: F401

        self._reader_thread.start()
        while not self._stop.is_set() and isinstance(self._store, QaAppError):
            try:
                store = self._opened.enter_context(bootstrap.open_store(self.settings))
                self._uploads = self._opened.enter_context(bootstrap.open_uploads(self.settings, store))
                self._store = store
            except SettingsError as error:
                self._store = error
                self.on_fatal(error)
                return
            except QaAppError as error:
                logger.warning("the store is not available: %s", error)
                self._store = error
                self._stop.wait(_AGAIN)
        while not self._stop.is_set():
            self._probe()
            self._stop.wait(_PROBE)

    def _probe(self) -> None:
        problem = None
        try:
            self.metrics.passages.set(self.store.get_document_count())
            self.metrics.jobs.set(self.uploads.unfinished())
        except QaAppError as error:
            problem = str(error)
        if problem != self._store_problem:
            logger.warning("the store %s", problem or "is available again")
        self._store_problem = problem

    def _keep_reader(self) -> None:
        while not self._stop.is_set():
            try:
                reader = bootstrap.open_reader(self.settings)
            except SettingsError as error:
                self._reader = error
                self.on_fatal(error)
                return
            except QaAppError as error:
                logger.warning("the reader is not available: %s", error)
                self._reader = error
                self._stop.wait(_AGAIN)
                continue
            if reader.notice:
                logger.warning("%s", reader.notice)
            self._reader = reader
            self.metrics.model.info({"model": reader.resolved.name, "engine": reader.engine})
            return


#: What handlers ask for.
ServicesDependency = NamedDependency[Services]
