"""Calls to the API that run while the page is drawn, so that it never stands still."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
from collections.abc import Callable, Coroutine, Hashable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as NotYet
from typing import Any, Generic, TypeVar, cast

import streamlit as st

from ui import settings
from ui.client import Client
from ui.problems import PASSING, ProblemError

T = TypeVar("T")
#: Results that a session keeps, so that going back costs nothing.
_KEPT = 60
#: Seconds between two looks at whether a call has ended.
_LOOK = 0.2
#: Seconds after which what may pass is tried again.
_AGAIN = 2.0


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """One thread for the calls of all visitors; calls wait for the network and cost it nothing else."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="calls", daemon=True).start()
    return loop


@functools.cache
def client() -> Client:
    """The API that this page was told of."""
    return Client(settings.load())


class Call(Generic[T]):
    """A call as far as it is: ``value`` when it has one, ``problem`` where it failed, else it is pending."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self.began = time.monotonic()
        self._future: Future[T] = asyncio.run_coroutine_threadsafe(work, _loop())

    @property
    def pending(self) -> bool:
        return not self._future.done()

    @property
    def problem(self) -> ProblemError | None:
        if self.pending:
            return None
        try:
            error = self._future.exception()
        except CancelledError:
            return ProblemError("slow", "This was given up.")
        if error is None or isinstance(error, ProblemError):
            return error
        raise error

    @property
    def value(self) -> T | None:
        return None if self.pending or self.problem else self._future.result()

    def wait(self, seconds: float) -> Call[T]:
        """The call itself, ended or ``seconds`` later."""
        with contextlib.suppress(NotYet, CancelledError):
            self._future.exception(seconds)
        return self

    def cancel(self) -> None:
        """The answer is not wanted any more; the connection is closed, which frees a place in the API's queue."""
        self._future.cancel()


class Calls:
    """The calls of one visitor, by what they are for; the oldest are forgotten."""

    def __init__(self) -> None:
        self._calls: dict[Hashable, Call[Any]] = {}
        #: Those that were pending when the page was drawn with them, and those that had failed.
        self._awaited: list[Call[Any]] = []
        self._failed: dict[Hashable, ProblemError] = {}
        self._again: set[Hashable] = set()

    def begin_drawing(self) -> None:
        """Forgets what an earlier drawing of the page waited for."""
        self._awaited.clear()
        self._failed.clear()
        self._again.clear()

    def get(
        self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]], *, wait: float = 0.0, fresh: float = 0.0
    ) -> Call[T]:
        """The call of this key, begun where there is none yet, or none younger than ``fresh`` seconds.

        Waits up to ``wait`` seconds, for what comes nearly at once, so that the page is not drawn twice.
        """
        call = self._calls.pop(key, None)
        if call is None or (fresh and not call.pending and time.monotonic() - call.began > fresh):
            call = Call(work())
        self._calls[key] = call
        while len(self._calls) > _KEPT:
            self._calls.pop(next(iter(self._calls))).cancel()
        call.wait(wait)
        self._note(key, call)
        return cast("Call[T]", call)

    def find(self, key: Hashable) -> Call[Any] | None:
        """The call of this key, where there is one still."""
        call = self._calls.get(key)
        if call is not None and call.pending:
            self._note(key, call)
        return call

    def _note(self, key: Hashable, call: Call[Any]) -> None:
        if call.pending:
            self._awaited.append(call)
        elif call.problem:
            self._failed[key] = call.problem

    def look_again(self, key: Hashable) -> None:
        """Draws the page again for a call that is made over and over until it says what is waited for."""
        self._again.add(key)

    def drop(self, *kinds: str) -> None:
        """Forgets the calls whose keys begin with one of ``kinds``, so that they are made anew."""
        for key in [key for key in self._calls if isinstance(key, tuple) and key[0] in kinds]:
            self._calls.pop(key).cancel()

    def cancel_others(self, kind: str, keys: tuple[Hashable, ...]) -> None:
        """Gives up pending calls of a kind that the page does not show any more."""
        for key, call in list(self._calls.items()):
            if isinstance(key, tuple) and key[0] == kind and key not in keys and call.pending:
                self._calls.pop(key).cancel()

    def retry(self) -> None:
        """Makes anew what failed."""
        for key, call in list(self._calls.items()):
            if not call.pending and call.problem:
                self._calls.pop(key)

    def watch(self) -> None:
        """Draws the page again as soon as a call has ended that it waits for; to be called at the page's end."""
        waiting = list(self._awaited)
        failed = [key for key, problem in self._failed.items() if problem.kind in PASSING]
        if not (waiting or failed or self._again):
            return
        drawn = time.monotonic()

        def look() -> None:
            passed = time.monotonic() - drawn
            if failed and passed >= _AGAIN:
                for key in failed:
                    self._calls.pop(key, None)
                st.rerun()
            if any(not call.pending for call in waiting) or (self._again and passed >= _AGAIN / 4):
                st.rerun()

        st.fragment(look, run_every=_LOOK)()


def calls() -> Calls:
    """The calls of this visitor."""
    found = st.session_state.setdefault("calls", Calls())
    assert isinstance(found, Calls)
    return found


def later(work: Coroutine[Any, Any, T]) -> T:
    """The result of a call that a thread of its own may wait for, such as that of a download; raises ProblemError."""
    return asyncio.run_coroutine_threadsafe(work, _loop()).result()
