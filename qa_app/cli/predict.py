"""``qa-app predict``: a file of questions in, a file of answers out, line by line and resumable."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from qa_app.cli.ingest import IndexOption
from qa_app.cli.output import console, quiet_libraries, say
from qa_app.errors import ConflictError, FileRejectedError, InvalidRequestError, NotFoundError, SettingsError
from qa_app.pipelines.predictions import Line, continued, failure, read_lines

if TYPE_CHECKING:
    from haystack import Pipeline

    from qa_app.reading.pairs import PairReader
    from qa_app.reading.reader import PassageReader
    from qa_app.settings import Settings

#: Lines between two writes, and how many of them at most are asked of the index, which takes ten times as long.
_LINES = 64
_ASKED = 8
#: Seconds between two plain lines of progress where there is no terminal.
_EVERY = 5.0
_STANDARD = Path("-")


def predict(
    source: Annotated[Path, typer.Argument(metavar="IN.jsonl", help="Questions, or - for standard input.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.jsonl", help="Answers, or - for standard output.")],
    index: IndexOption = None,
    top_k: Annotated[
        int | None, typer.Option("--top-k", help="Answers wanted from the index.", show_default=False)
    ] = None,
    handle_impossible_answer: Annotated[
        bool,
        typer.Option("--handle-impossible-answer", help="Let the answer in a context be empty where that is best."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start OUT.jsonl anew instead of continuing it.")
    ] = False,
) -> None:
    """Answer a file of questions: JSON lines with "question", and with "context" where it is to be read in that.

    A question without a context is asked of the index. Each line gives one line, in order, with its other fields and
    the result: score, start, end and answer in the context, or answers from the index. An interrupted run is continued
    by the same command. A line that cannot be answered gets an error, and the exit code is then 3.
    """
    quiet_libraries()
    from qa_app import settings as settings_room

    settings = settings_room.load({"index": index, "reader_top_k": top_k})
    if source != _STANDARD and target.exists() and source.exists() and target.samefile(source):
        raise SettingsError(f"{source} is both the input and the output; name another file for the answers")
    with (
        _source(source) as given,
        _target(target, overwrite=overwrite) as out,
        Answers(settings, impossible=handle_impossible_answer) as answers,
    ):
        lines, done, failed = read_lines(given), 0, 0
        if target != _STANDARD and target.is_file():
            lines, done, failed = continued(out, lines, target)
        if done:
            say(f"{done} lines are in {target} already")
        with _Progress(source, given) as progress:
            for batch in _batches(lines):
                results = answers.to(batch)
                _write(out, b"".join(line.answered(one) for line, one in zip(batch, results)), target)
                done += len(batch)
                failed += sum("error" in one for one in results)
                progress.show(done)
    say(f"{done} lines, {failed} of them could not be answered" if failed else f"{done} lines, all answered")
    if failed:
        raise typer.Exit(FileRejectedError.exit_code)


def _batches(lines: Iterator[Line]) -> Iterator[list[Line]]:
    batch: list[Line] = []
    for line in lines:
        batch.append(line)
        if len(batch) == _LINES or sum(one.context is None and not one.problem for one in batch) == _ASKED:
            yield batch
            batch = []
    if batch:
        yield batch


class Answers:
    """Answers lines, with the reader and the index opened when the first line needs them."""

    def __init__(self, settings: Settings, *, impossible: bool) -> None:
        self._settings = settings
        self._impossible = impossible
        self._opened = ExitStack()

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def to(self, lines: list[Line]) -> list[dict[str, Any]]:
        """The result of each line, in order; raises what is not one line's fault."""
        results = {line.number: failure(line.problem) for line in lines if line.problem}
        good = [line for line in lines if not line.problem]
        for some, read in (
            ([line for line in good if line.context is not None], self._read),
            ([line for line in good if line.context is None], self._ask),
        ):
            results.update(zip((line.number for line in some), self._each(some, read)))
        return [results[line.number] for line in lines]

    def _each(self, lines: list[Line], read: Callable[[list[Line]], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """``read(lines)``; one by one where a refused line spoils it for all."""
        try:
            return read(lines) if lines else []
        except InvalidRequestError as error:
            if len(lines) == 1:
                return [failure(error)]
            return [result for line in lines for result in self._each([line], read)]

    def _read(self, lines: list[Line]) -> list[dict[str, Any]]:
        pairs = [(line.question, line.context or "") for line in lines]
        answers = self._pairs.predict(pairs, self._impossible, first=lines[0].number)
        return [asdict(answer) for answer in answers]

    def _ask(self, lines: list[Line]) -> list[dict[str, Any]]:
        pipeline = self._pipeline
        from qa_app.pipelines.answering import ask_batch, response

        results = ask_batch(pipeline, [line.question for line in lines])
        return [{"answers": response(result)["answers"]} for result in results]

    @cached_property
    def _reader(self) -> PassageReader:
        from qa_app import bootstrap

        return bootstrap.open_reader(self._settings)

    @cached_property
    def _pairs(self) -> PairReader:
        from qa_app.reading.pairs import PairReader

        return PairReader(self._reader)

    @cached_property
    def _pipeline(self) -> Pipeline:
        from qa_app import bootstrap

        store = self._opened.enter_context(bootstrap.open_store(self._settings))
        if not store.get_document_count():
            say(f"nothing is indexed in {self._settings.index!r} yet; 'qa-app ingest FOLDER' does it")
        return bootstrap.build_answering(self._settings, store, self._reader)


@contextmanager
def _source(path: Path) -> Iterator[BinaryIO]:
    if path == _STANDARD:
        yield sys.stdin.buffer
        return
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} is not there; give a file of questions, a JSON object a line") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    with file:
        yield file


@contextmanager
def _target(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Where answers go; a file is kept from a second run that would write to it as well."""
    if path == _STANDARD:
        yield sys.stdout.buffer
        return
    whole = path.is_file() or not path.exists()
    try:
        file = path.open("a+b" if whole else "wb")
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}") from error
    try:
        if whole:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConflictError(f"another run is writing to {path}; wait until it is done") from error
            if overwrite:
                file.truncate(0)
        yield file
    finally:
        with suppress(OSError):  # every write was flushed, so that closing says nothing new
            file.close()


def _write(out: BinaryIO, lines: bytes, path: Path) -> None:
    try:
        out.write(lines)
        out.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written: {error.strerror}; make room, and the same command goes on from there"
        ) from error


class _Progress:
    """Counts lines: a bar by bytes of the input on a terminal, a plain line every few seconds elsewhere."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._file = file
        self._last = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            text = TextColumn("{task.description}", markup=False)
            self._bar = Progress(text, BarColumn(), TimeRemainingColumn(), console=console(error=True))
            self._size = os.fstat(file.fileno()).st_size if path != _STANDARD and path.is_file() else None
            self._task = self._bar.add_task("starting", total=self._size)

    def __enter__(self) -> _Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, done: int) -> None:
        """So many lines are written."""
        if self._bar:
            read = self._file.tell() if self._size else None
            self._bar.update(self._task, completed=read, description=f"{done} lines")
        elif time.monotonic() - self._last > _EVERY:
            self._last = time.monotonic()
            say(f"{done} lines so far")
