"""Thousands of files that nobody meant to be read, through the child processes that real files go through."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from qa_app.converters.cage import Converted, ConverterPool, Rejected, Result
from qa_app.converters.extraction import bounded
from qa_app.converters.page_images import PageSpan, draw
from qa_app.errors import REASONS, FileRejectedError
from tests.faults.generating import changed, grown
from tests.faults.seeds import SEEDS
from tests.faults.table import Figure
from tests.make_bad import junk

#: What a bad file may cost, but none of these small ones should.
_DEAR = {"crashed", "memory", "timeout"}
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0d-\x1f\x7f\ud800-\udfff]")
_BATCH = 250


@pytest.fixture(scope="module")
def pool() -> Iterator[ConverterPool]:
    """As ingestion has it."""
    with ConverterPool(2) as pool:
        yield pool


@pytest.fixture(autouse=True)
def _harmless() -> Iterator[None]:
    """Whatever the files hold, this process keeps its threads and open files, and its children their number."""
    process = psutil.Process()
    children, threads, files = len(process.children()), _converting(), process.num_fds()
    yield
    # The pool starts its two children, with a thread and some pipes each, when it is first used.
    assert len(process.children()) <= children + 2
    assert _converting() <= threads + 2
    assert process.num_fds() < files + 30


def _converting() -> int:
    return len([thread for thread in threading.enumerate() if thread.name.startswith("converter")])


def check(result: Result) -> str:
    """Asserts what is documented of a result; gives "ok" or its reason."""
    if isinstance(result, Rejected):
        assert result.reason in REASONS
        assert result.message
        assert result.reason not in _DEAR, (result.path.name, result.message)
        return result.reason
    text = result.extraction.text
    assert text.strip()
    assert not _NO_TEXT.search(text)
    starts = result.extraction.page_starts
    assert list(starts) == sorted(starts)
    for place in (*starts, *(heading.start for heading in result.extraction.headings)):
        assert 0 <= place <= len(text)
    assert bounded(result.extraction.meta) == result.extraction.meta
    return "ok"


def convert_all(
    pool: ConverterPool, folder: Path, suffix: str, make: Callable[[str, int], bytes], count: int, figure: Figure
) -> Counter[str]:
    """Converts ``count`` files made of their numbers; files that are in the report can be made again by theirs."""
    outcomes: Counter[str] = Counter()
    memory = psutil.Process().memory_info
    before, slowest = memory().rss, 0.0
    for first in range(0, count, _BATCH):
        paths = [folder / f"{number}.{suffix}" for number in range(first, min(first + _BATCH, count))]
        for number, path in enumerate(paths, first):
            path.write_bytes(make(suffix, number))
        began = time.monotonic()
        outcomes.update(map(check, pool.convert(paths)))
        slowest = max(slowest, time.monotonic() - began)
        for path in paths:
            path.unlink()
    more = (memory().rss - before) >> 20
    told = ", ".join(f"{number:,} {outcome}" for outcome, number in outcomes.most_common())
    costs = f"at most {slowest:.1f} s for {_BATCH}, {more} MB more in the parent"
    figure(f"{suffix} files {make.__name__} ({told}; {costs})", sum(outcomes.values()))
    assert more < 100
    return outcomes


@pytest.mark.case("F12")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("suffix", SEEDS)
def test_f12_changed_files(pool: ConverterPool, tmp_path: Path, suffix: str, long: bool, figure: Figure) -> None:
    """Good files with pieces changed give a documented reason or text that can be stored, and crash nothing."""
    outcomes = convert_all(pool, tmp_path, suffix, changed, 6_000 if long else 50, figure)
    assert outcomes["ok"] > 0
    assert suffix not in {"pdf", "docx"} or outcomes["corrupt"] > 0


@pytest.mark.case("F12")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("suffix", SEEDS)
def test_f12_grown_files(pool: ConverterPool, tmp_path: Path, suffix: str, long: bool, figure: Figure) -> None:
    """Files grown of a format's own parts in any order do as well, and many of them have text."""
    assert convert_all(pool, tmp_path, suffix, grown, 3_000 if long else 30, figure)["ok"] > 10


@pytest.mark.case("F11")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("suffix", SEEDS)
def test_f11_junk(pool: ConverterPool, tmp_path: Path, suffix: str, long: bool, figure: Figure) -> None:
    """Random bytes, bare or behind the right beginning, are refused or text, whatever the file is called."""
    size = 2**20 if long else 100_000

    def of_random_bytes(suffix: str, number: int) -> bytes:
        start = SEEDS[suffix][number % 5][:40] if number % 2 else b""
        return start + junk(size, number)

    convert_all(pool, tmp_path, suffix, of_random_bytes, 400 if long else 20, figure)


@pytest.mark.case("F11", "F12")
def test_a_good_file_after_them_all(pool: ConverterPool, tmp_path: Path) -> None:
    """The children that read all this still read what is good, without a word of what came before."""
    paths = []
    for suffix, seeds in SEEDS.items():
        for number, data in enumerate(seeds):
            paths.append(tmp_path / f"{number}.{suffix}")
            paths[-1].write_bytes(data)
    after = pool.convert(paths)
    with ConverterPool(1) as fresh:
        assert fresh.convert(paths) == after
    assert all(isinstance(result, Converted) for result in after)


@pytest.mark.case("F12")
@pytest.mark.timeout(1200)
def test_f12_pages_drawn(long: bool, figure: Figure) -> None:
    """Pages of changed and grown PDF files are drawn, with boxes on the page, or refused."""
    outcomes: Counter[str] = Counter()
    count = 500 if long else 12
    for number in range(count):
        data = (changed if number % 2 else grown)("pdf", number)
        try:
            picture, located = draw(data, PageSpan(1, "words", 0, 5), 200)
        except FileRejectedError as error:
            outcomes[error.reason] += 1
            continue
        outcomes["ok"] += 1
        assert picture.startswith(b"\x89PNG")
        assert all(0 <= box.left <= box.right <= 1 and 0 <= box.top <= box.bottom <= 1 for box in located.boxes)
    figure(f"pages drawn ({dict(outcomes)})", count)
    assert set(outcomes) <= {"ok", "corrupt", "crashed"}
    assert outcomes["ok"] > count / 4
