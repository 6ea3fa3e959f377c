"""Clients of a server as a process: what comes of their questions, and what the server says of itself meanwhile."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Reply:
    """What came of a question: a status, 0 where the line broke, the seconds it took, and the body."""

    status: int
    seconds: float
    body: dict[str, Any]
    wait: str | None

    @property
    def is_answer(self) -> bool:
        return self.status == 200

    @property
    def is_refusal(self) -> bool:
        """Turned away as it should be: with the time after which to come again."""
        return self.status == 429 and self.body["error"]["code"] == "overloaded" and int(self.wait or 0) >= 1


def client(url: str, **options: Any) -> httpx.AsyncClient:
    """A client that opens as many connections as there are questions."""
    return httpx.AsyncClient(base_url=url, timeout=120, limits=httpx.Limits(max_connections=None), **options)


async def ask(asking: httpx.AsyncClient, question: str, params: dict[str, Any] | None = None) -> Reply:
    """The reply to one question; fails where it is the answer to another."""
    began = time.perf_counter()
    try:
        response = await asking.post("/query", json={"query": question, "params": params})
    except httpx.TransportError:
        return Reply(0, time.perf_counter() - began, {}, None)
    body = response.json()
    assert response.status_code != 200 or body["query"] == question
    return Reply(response.status_code, time.perf_counter() - began, body, response.headers.get("Retry-After"))


async def once(url: str, questions: Sequence[str], params: dict[str, Any] | None = None) -> list[Reply]:
    """The replies to questions that come all at once."""
    async with client(url) as asking:
        return await asyncio.gather(*[ask(asking, question, params) for question in questions])


async def again_and_again(url: str, questions: Sequence[str], seconds: float, clients: int = 8) -> list[Reply]:
    """The replies to clients that ask again as soon as they are answered."""
    replies: list[Reply] = []
    until = time.monotonic() + seconds
    async with client(url) as asking:

        async def one(number: int) -> None:
            while time.monotonic() < until:
                replies.append(await ask(asking, questions[number % len(questions)]))
                number += clients

        await asyncio.gather(*[one(number) for number in range(clients)])
    return replies


async def steadily(url: str, questions: Sequence[str], rate: float, seconds: float) -> tuple[list[Reply], list[Reply]]:
    """The replies to questions that come at a rate whether others are answered or not, and to ``/live`` beside them."""
    health: list[Reply] = []
    began = time.monotonic()
    async with client(url) as asking:

        async def look() -> None:
            while True:
                before = time.perf_counter()
                status = (await asking.get("/live")).status_code
                health.append(Reply(status, time.perf_counter() - before, {}, None))
                await asyncio.sleep(0.1)

        looking = asyncio.create_task(look())
        running = []
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            running.append(asyncio.create_task(ask(asking, questions[number % len(questions)])))
        replies = await asyncio.gather(*running)
        looking.cancel()
    return replies, health


def milliseconds(replies: Sequence[Reply]) -> str:
    """Half of them take no longer than the first figure, 99 of a hundred no longer than the second."""
    times = [reply.seconds * 1000 for reply in replies]
    cuts = statistics.quantiles(times * 2, n=100, method="inclusive")  # also of one
    return f"{cuts[49]:.0f} and {cuts[98]:.0f} ms (half, 99 %)"


def until_it_holds(true: Callable[[], bool], what: str, seconds: float = 60) -> float:
    """The seconds until ``true`` says so."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() < began + seconds, what
        time.sleep(0.05)
    return time.monotonic() - began


def gauge(url: str, name: str) -> float:
    """A figure of ``/metrics``."""
    return figure_of(httpx.get(f"{url}/metrics").text, name)


def figure_of(metrics: str, name: str) -> float:
    """A figure in the text of ``/metrics``."""
    [line] = [line for line in metrics.splitlines() if line.startswith(f"qa_app_{name} ")]
    return float(line.split()[1])
