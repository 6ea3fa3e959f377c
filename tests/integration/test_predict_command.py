"""A file of questions becomes a file of answers, line by line, however often the run is broken off."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from qa_app.errors import InvalidRequestError
from qa_app.pipelines.predictions import continued, failure, read_lines
from tests.ingesting import write
from tests.integration.test_cli import FILES, Shell

JOHN = "My name is John and I live in Hyderabad."
TOWER = "The tower was built by Anna Berg in 1904. It is made of iron."
#: Lines that cannot be answered: why, and the line.
BAD: list[tuple[str, bytes]] = [
    ("malformed", b"no JSON"),
    ("malformed", b'{"id": 7, "question": "Who?", "context"'),
    ("malformed", b'["Who?"]'),
    ("malformed", b'{"question": "Who?", "weight": NaN}'),
    ("malformed", b'{"question": "Who?", "weight": 1e999}'),
    ("malformed", b'{"question": "half \\ud83d"}'),
    ("malformed", b'{"question": "Qui\xe9?"}'),
    ("malformed", b"[" * 100_000),
    ("malformed", b""),
    ("invalid_request", b'{"id": 1}'),
    ("invalid_request", b'{"id": 2, "question": 5}'),
    ("invalid_request", b'{"id": 3, "question": " "}'),
    ("invalid_request", b'{"id": 4, "question": "Who?", "context": ""}'),
    ("invalid_request", b'{"id": 5, "question": "Who?", "context": ["a"]}'),
    ("invalid_request", b'{"id": 6, "question": "%s"}' % (b"x" * 10_001)),
    ("too_large", b'{"question": "Who?", "context": "%s"}' % (b"x" * 9_000_000)),
]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def save(path: Path, lines: Sequence[object]) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


def load(path: Path) -> list[dict[str, Any]]:
    """What :func:`save` writes, each line an object."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def rounded(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines with scores to four digits: the same pair in another batch differs in the last ones."""
    return [{**line, "score": round(line["score"], 4)} if "score" in line else line for line in lines]


def finished(source: bytes) -> bytes:
    """The output of lines none of which can be answered, as a whole run writes it."""
    return b"".join(line.answered(failure(line.problem)) for line in read_lines(io.BytesIO(source)) if line.problem)


@pytest.mark.reader
class TestAnswers:
    """What stands in the lines."""

    def test_every_line_has_its_line(self, shell: Shell) -> None:
        """Pairs, questions to the index and lines that cannot be answered, in order, with their other fields."""
        write(shell.folder / "papers", FILES)
        shell("ingest", "papers")
        good: list[dict[str, Any]] = [
            {"id": "a", "question": "What's my name?", "context": JOHN, "answer": "the input's own"},
            {"question": "Who bridged the Rhône?", "id": 2, "tags": ["é", None, 1.5]},
            {"question": "Where do I live?", "context": JOHN, "nested": {"a": {}}},
            {"question": "Which river is the longest of France?", "context": None},
            {"question": "Who?", "context": "\u200d"},
        ]
        lines = [json.dumps(line, ensure_ascii=False).encode() for line in good]
        (shell.folder / "in.jsonl").write_bytes(
            b"\xef\xbb\xbf" + b"\r\n".join([*lines[:3], BAD[0][1], *lines[3:], BAD[-5][1]])
        )
        done = shell("predict", "in.jsonl", "out.jsonl", "--top-k", "1", code=3)
        assert done.stdout == ""
        assert "7 lines, 3 of them could not be answered" in done.stderr
        out = load(shell.folder / "out.jsonl")
        assert list(out[0]) == ["id", "question", "score", "start", "end", "answer"]
        assert [(line["start"], line["end"], line["answer"]) for line in (out[0], out[2])] == [
            (11, 15, "John"),
            (30, 39, "Hyderabad"),
        ]
        assert out[2]["nested"] == {"a": {}}
        (answer,) = out[1]["answers"]
        assert answer["answer"].startswith("Bénézet")
        assert answer["meta"]["path"] == "rivers/rhone.txt"
        assert {name: out[1][name] for name in ("question", "id", "tags")} == good[1]
        assert set(out[1]) == {"question", "id", "tags", "answers"}
        (expected,) = shell.json("ask", "Who bridged the Rhône?", "--top-k", "1")["answers"]
        assert answer == {**expected, "score": pytest.approx(expected["score"], abs=1e-5)}
        assert [line["error"]["code"] for line in (out[3], out[5], out[6])] == [
            "malformed",
            "invalid_request",
            "invalid_request",
        ]
        assert "line 4" in out[3]["error"]["message"]
        assert out[4]["answers"][0]["meta"]["path"] == "rivers/loire.md"
        assert out[6]["id"] == 3

    def test_standard_input_and_output(self, shell: Shell) -> None:
        """With "-" questions come in and answers go out, and nothing else is said there; no index is needed."""
        lines = [{"question": "Who sang?", "context": TOWER, "id": i} for i in range(2)]
        for options, answered in (((), True), (("--handle-impossible-answer",), False)):
            done = subprocess.run(
                [sys.executable, "-m", "qa_app", "predict", "-", "-", *options],
                input="".join(json.dumps(line) + "\n" for line in lines),
                env=shell.environment,
                capture_output=True,
                text=True,
                timeout=120,
                check=True,
            )
            out = [json.loads(line) for line in done.stdout.splitlines()]
            assert [line["id"] for line in out] == [0, 1]
            assert [bool(line["answer"]) for line in out] == [answered, answered]
            assert all(line["answer"] == TOWER[line["start"] : line["end"]] for line in out)
            assert done.stderr.endswith("2 lines, all answered\n")
        assert not (shell.folder / "data").exists()

    @pytest.mark.slow
    def test_killed_and_continued(self, shell: Shell) -> None:
        """Killed or interrupted in the middle, the same command completes the output to what one whole run writes."""
        lines = [
            {"id": i, "question": "Who built the tower?", "context": TOWER.replace("Anna", f"Anna {i}") * (1 + i % 3)}
            for i in range(200)
        ]
        lines[5] = lines[190] = {"id": 5}
        save(shell.folder / "in.jsonl", lines)
        shell("predict", "in.jsonl", "whole.jsonl", code=3)
        whole = rounded(load(shell.folder / "whole.jsonl"))
        assert [line["id"] for line in whole] == [line["id"] for line in lines]
        out = shell.folder / "out.jsonl"
        for sent, ended in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
            out.unlink(missing_ok=True)
            process = subprocess.Popen(
                [sys.executable, "-m", "qa_app", "predict", "in.jsonl", "out.jsonl"],
                cwd=shell.folder,
                env=shell.environment,
                stderr=subprocess.PIPE,
                text=True,
            )
            while not (out.exists() and out.stat().st_size):
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(sent)
            said = process.communicate(timeout=60)[1]
            assert process.returncode == ended, said
            assert ended < 0 or "what was done is kept" in said
            kept = len(load(out))
            assert 0 < kept < len(lines)
            # What a kill amid a write leaves.
            with out.open("ab") as file:
                file.write(json.dumps({"id": lines[kept]["id"]}).encode()[:-1])
            done = shell("predict", "in.jsonl", "out.jsonl", code=3)
            assert f"{kept} lines are in out.jsonl already" in done.stderr
            assert "200 lines, 2 of them could not be answered" in done.stderr
            assert rounded(load(out)) == whole


class TestLines:
    """Lines that cannot be answered, which no reader is loaded for."""

    def test_each_bad_line_says_why(self, shell: Shell) -> None:
        """Each gets its error with the line's number or field, its other fields, and the run goes on."""
        (shell.folder / "in.jsonl").write_bytes(b"\n".join(line for _, line in BAD) + b"\n")
        done = shell("predict", "in.jsonl", "out.jsonl", code=3)
        assert f"{len(BAD)} lines, {len(BAD)} of them" in done.stderr
        out = load(shell.folder / "out.jsonl")
        assert [line["error"]["code"] for line in out] == [code for code, _ in BAD]
        assert [line.get("id") for line in out[9:15]] == [1, 2, 3, 4, 5, 6]
        assert all("context" not in line for line in out)
        assert (shell.folder / "out.jsonl").read_bytes() == finished((shell.folder / "in.jsonl").read_bytes())

    def test_nothing_heavy_for_them(self, shell: Shell) -> None:
        """Help, and a run that has nothing to read, import neither Haystack nor torch."""
        (shell.folder / "in.jsonl").write_bytes(b"no JSON\n")
        for arguments in (["--help"], ["in.jsonl", "out.jsonl"]):
            code = (
                f"import sys; sys.argv = ['qa-app', 'predict', *{arguments!r}]\nfrom qa_app.cli.main import run\n"
                "try: run()\nfinally: print('HEAVY', sorted({'haystack', 'torch', 'transformers'} & set(sys.modules)))"
            )
            done = subprocess.run(
                [sys.executable, "-c", code], cwd=shell.folder, capture_output=True, text=True, check=False
            )
            assert "HEAVY []" in done.stdout, done.stdout + done.stderr

    def test_an_empty_file(self, shell: Shell) -> None:
        """No questions are no answers, in a file of their own."""
        (shell.folder / "in.jsonl").write_bytes(b"")
        assert "0 lines" in shell("predict", "in.jsonl", "out.jsonl").stderr
        assert (shell.folder / "out.jsonl").read_bytes() == b""

    def test_memory_does_not_grow(self) -> None:
        """Lines are read one at a time: a long file is never held whole, nor are its questions."""
        line, count = b'{"id": 1, "question": ""}\n', 40_000
        source = io.BytesIO(line * count)
        tracemalloc.start()
        try:
            assert sum(1 for _ in read_lines(source)) == count
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        # A tenth of the file leaves room for what the threads of earlier tests take meanwhile.
        assert peak < len(line) * count / 10


class TestContinued:
    """An output that is there already."""

    SOURCE = b"".join(line + b"\n" for _, line in BAD[:6] + BAD[8:14])

    def test_a_cut_at_any_byte(self, tmp_path: Path) -> None:
        """Wherever the output was torn, what is missing and only that is written again."""
        whole = finished(self.SOURCE)
        path = tmp_path / "out.jsonl"
        for cut in range(len(whole) + 1):
            path.write_bytes(whole[:cut])
            with path.open("a+b") as out:
                lines, done, failed = continued(out, read_lines(io.BytesIO(self.SOURCE)), path)
                assert done == failed == whole[:cut].count(b"\n")
                for line in lines:
                    assert line.problem
                    out.write(line.answered(failure(line.problem)))
            assert path.read_bytes() == whole

    def test_a_run_that_is_done(self, shell: Shell) -> None:
        """Once more changes nothing and ends with the same count and code; --overwrite starts anew."""
        (shell.folder / "in.jsonl").write_bytes(self.SOURCE)
        shell("predict", "in.jsonl", "out.jsonl", code=3)
        before = (shell.folder / "out.jsonl").read_bytes()
        again = shell("predict", "in.jsonl", "out.jsonl", code=3)
        assert "12 lines are in out.jsonl already" in again.stderr
        assert "12 lines, 12 of them could not be answered" in again.stderr
        assert (shell.folder / "out.jsonl").read_bytes() == before
        (shell.folder / "out.jsonl").write_text("something else")
        assert "already" not in shell("predict", "in.jsonl", "out.jsonl", "--overwrite", code=3).stderr
        assert (shell.folder / "out.jsonl").read_bytes() == before

    @pytest.mark.parametrize(
        "written",
        [
            b"my notes, without a line's end",
            b"my notes\n",
            b'{"question": "Another?", "score": 1.0, "start": 0, "end": 1, "answer": "x"}\n',
            b'{"question": "Who?", "id": 2, "score": 1.0, "start": 0, "end": 1, "answer": "x"}\n',
            b'{"question": "Who?", "id": 1, "error": {}}\n{"question": "What?", "error": {}}\n{"more": 1}\n',
            b'{"question": "Who?", "id": 1, "error": {}}\n{"question": "What?", "error": {}}\n{',
            b'{"question": "Who?", "id": 1, "error": {}}\n{"question": "Wx',
        ],
    )
    def test_the_output_of_another_input(self, tmp_path: Path, written: bytes) -> None:
        """A file that was not made from this input is refused, with the way out, and left as it is."""
        source = b'{"question": "Who?", "id": 1}\n{"question": "What?"}\n'
        path = tmp_path / "out.jsonl"
        path.write_bytes(written)
        with path.open("a+b") as out, pytest.raises(InvalidRequestError, match="--overwrite"):
            continued(out, read_lines(io.BytesIO(source)), path)
        assert path.read_bytes() == written

    def test_another_input_at_the_command(self, shell: Shell) -> None:
        """The command says so and ends with code 2, before a reader is loaded."""
        save(shell.folder / "in.jsonl", [{"question": "Who?"}])
        save(shell.folder / "out.jsonl", [{"question": "What?", "answers": []}])
        done = shell("predict", "in.jsonl", "out.jsonl", code=2, QA_READER_MODEL="./nowhere")
        assert "line 1 of out.jsonl does not belong to this input" in done.stderr
        assert load(shell.folder / "out.jsonl") == [{"question": "What?", "answers": []}]


class TestFiles:
    """Files that cannot be used."""

    def test_they_are_named(self, shell: Shell) -> None:
        """A missing input, a folder, an output in no folder or on a full disk end with code 2 and their name."""
        (shell.folder / "in.jsonl").write_bytes(b"no JSON\n")
        for source, target, told in (
            ("nowhere.jsonl", "out.jsonl", "nowhere.jsonl is not there"),
            (".", "out.jsonl", ". cannot be read"),
            ("in.jsonl", "no/out.jsonl", "no/out.jsonl cannot be written"),
            ("in.jsonl", ".", ". cannot be written"),
            ("in.jsonl", "in.jsonl", "both the input and the output"),
            ("in.jsonl", "/dev/full", "/dev/full cannot be written: No space left on device"),
        ):
            assert told in shell("predict", source, target, code=2).stderr
        assert (shell.folder / "in.jsonl").read_bytes() == b"no JSON\n"
        assert not (shell.folder / "out.jsonl").exists()

    def test_one_run_at_a_time(self, shell: Shell) -> None:
        """While a run writes to a file, another is told to wait; a file whose run was killed is free."""
        (shell.folder / "in.jsonl").write_bytes(b"no JSON\n")
        with (shell.folder / "out.jsonl").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert "another run" in shell("predict", "in.jsonl", "out.jsonl", "--overwrite", code=2).stderr
        shell("predict", "in.jsonl", "out.jsonl", code=3)

    def test_progress_is_a_bar_on_a_terminal_only(self, shell: Shell) -> None:
        """On a terminal lines are counted beside a bar; elsewhere standard error stays plain."""
        (shell.folder / "in.jsonl").write_bytes(b"no JSON\n" * 200)
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "qa_app", "predict", "in.jsonl", "out.jsonl"],
            cwd=shell.folder,
            env={**shell.environment, "TERM": "xterm"},
            stdout=subprocess.DEVNULL,
            stderr=theirs,
        )
        os.close(theirs)
        said = b""
        while True:
            try:
                said += os.read(ours, 65536)
            except OSError:  # how a terminal tells that its last writer is gone
                break
        os.close(ours)
        assert process.wait(timeout=60) == 3
        assert b"200 lines" in said
        assert b"\x1b[" in said
        plain = shell("predict", "in.jsonl", "other.jsonl", code=3)
        assert plain.stderr == "200 lines, 200 of them could not be answered\n"
