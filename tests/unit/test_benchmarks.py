"""The benchmarks run; how fast is for them to say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.corpus import Corpus
from benchmarks.report import Table
from tests.conftest import REPOSITORY


def measured(folder: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """The tables that a benchmark wrote as JSON, and its Markdown."""
    command = [sys.executable, "-m", "benchmarks", *arguments, "--no-elasticsearch", "--output", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / "latest.md").read_text(encoding="utf-8") == done.stdout
    found = json.loads((folder / "latest.json").read_text(encoding="utf-8"))
    assert found["machine"]["Python"] == sys.version.split()[0]
    assert os.uname().nodename not in done.stdout
    return found["tables"], done.stdout


@pytest.mark.slow
def test_ingestion(tmp_path: Path) -> None:
    """Ingestion is measured with all passages found, and its process does without torch."""
    tables, text = measured(tmp_path, "ingestion", "--passages", "320")
    row, bare = tables["ingestion"]["rows"]
    assert row["files"] == bare["files"] == 40
    assert 240 <= bare["passages"] <= 440
    assert 240 <= row["passages"] <= 440
    assert row["passages a second"] == pytest.approx(row["passages"] / row["seconds"])
    # Haystack with torch takes 700.
    assert 50 < row["peak memory, MB"] < 500
    assert len(row["at 25/50/75/100 %, MB"].split(" / ")) == 4
    assert "| qa_app, SQLite | 40 |" in text
    assert (tmp_path / "ingestion.svg").stat().st_size > 0


@pytest.mark.slow
def test_formats(tmp_path: Path) -> None:
    """The same texts as PDF and Word make about as many passages, and their parsers' share of the time is given."""
    tables, _ = measured(tmp_path, "ingestion", "--passages", "80")
    rows = {row[""]: row for row in tables["formats"]["rows"]}
    assert list(rows) == ["plain text", "PDF", "Word"]
    for row in rows.values():
        assert row["files"] == 10
        assert row["passages"] == pytest.approx(rows["plain text"]["passages"], rel=0.2)
        assert 0 < row["of them parsers'"] < row["CPU seconds"]


@pytest.mark.slow
def test_growth(tmp_path: Path) -> None:
    """Ingestion and the same questions are measured at three sizes, each ten times the one before."""
    tables, _ = measured(tmp_path, "growth", "--passages", "1600")
    rows = tables["growth"]["rows"]
    assert [row["files"] for row in rows] == [2, 20, 200]
    assert rows[0]["times the smallest's rate"] == 1
    assert [row["passages"] for row in rows] == [row["passages"] for row in tables["growth-search"]["rows"]]
    assert all(0 < row["median, ms"] <= row["slowest, ms"] for row in tables["growth-search"]["rows"])
    assert all((tmp_path / f"{name}.svg").stat().st_size > 0 for name in ("growth", "growth-search"))


@pytest.mark.slow
def test_search(tmp_path: Path) -> None:
    """Search is measured, finds what the questions ask for, and agrees with exact scoring on a small index."""
    tables, _ = measured(tmp_path, "search", "--passages", "400", "--questions", "20")
    (row,) = tables["search"]["rows"]
    assert 0 < row["median, ms"] <= row["slowest, ms"]
    assert row["among ten"] >= row["asked passage first"] > 0.5
    (agreement,) = tables["agreement"]["rows"]
    assert agreement["same first passage"] == agreement["same passages among ten"] == 1.0


def test_corpus_is_deterministic() -> None:
    """The same seed gives the same files, passages and questions, whichever are asked for; another seed others."""
    one, other = Corpus(), Corpus()
    assert one.file(3) == other.file(3) != one.file(4)
    passages = one.passages(7)
    other.passages(1)
    assert passages == other.passages(7)
    assert one.question(passages[2], 5) == other.question(passages[2], 5)
    assert one.question_about_file(3) == other.question_about_file(3) != one.question_about_file(4)
    assert Corpus(seed=1).file(3) != one.file(3)


def test_corpus_is_like_language() -> None:
    """Few words are in most passages and most words in few, passages have about a hundred words, files a few KB."""
    corpus = Corpus()
    passages = [passage.text for number in range(125) for passage in corpus.passages(number)]
    counts = Counter(word for text in passages for word in set(text.lower().split()))
    assert counts["the"] > 0.95 * len(passages)
    assert sum(0.1 * len(passages) < count < 0.6 * len(passages) for count in counts.values()) > 40
    assert sum(count <= 50 for count in counts.values()) > 0.95 * len(counts)
    assert 95 < sum(len(text.split()) for text in passages) / len(passages) < 110
    assert all(2_500 < len(corpus.file(number)) < 6_000 for number in range(50))


def test_tables_are_markdown() -> None:
    """A table's numbers are shown with three digits or so and thousands apart, missing ones as empty cells."""
    table = Table("x", "Title", [{"": "a", "n": 12345, "r": 2.345}, {"": "b", "n": None, "r": 2345.6}], ["noted"])
    assert table.markdown() == (
        "## Title\n\n|  | n | r |\n|---|---:|---:|\n| a | 12,345 | 2.35 |\n| b |  | 2,346 |\n\n- noted\n"
    )
