"""Files of predictions: a line of JSON for each question in, a line with its result out, in order.

A line of the output begins with what it repeats of its line of the input, so that an output that was broken off is
recognised as this input's and continued.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from qa_app.errors import InvalidRequestError, MalformedRequestError, QaAppError, TooLargeError
from qa_app.pipelines.questions import check_question

#: What the output says; an input's field of such a name gives way to it.
RESULT = ("score", "start", "end", "answer", "answers", "error")
#: Bytes of a line, three times what the longest context takes with every character escaped.
_LONGEST = 8 * 2**20
_ERROR = b'error": '


@dataclass(frozen=True)
class Line:
    """A line of the input; ``problem`` says why it cannot be answered, ``kept`` is what the output repeats of it."""

    number: int
    question: str = ""
    context: str | None = None
    kept: dict[str, Any] = field(default_factory=dict)
    problem: QaAppError | None = None

    @property
    def start(self) -> bytes:
        """How its line of the output begins."""
        return self._beginning + (_ERROR if self.problem else b"")

    @property
    def failed_start(self) -> bytes:
        """How its line of the output begins where it could not be answered."""
        return self._beginning + _ERROR

    @property
    def _beginning(self) -> bytes:
        return (_dumped(self.kept)[:-1] + ', "' if self.kept else '{"').encode()

    def answered(self, result: dict[str, Any]) -> bytes:
        """Its line of the output, with the fields of the result."""
        return (_dumped({**self.kept, **result}) + "\n").encode()


def failure(error: QaAppError) -> dict[str, Any]:
    """The result of a line that cannot be answered."""
    return {"error": {"code": error.code, "message": str(error)}}


def _dumped(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=float)


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """The lines of a file, one by one, those that cannot be answered with their problem."""
    for number in itertools.count(1):
        raw = file.readline(_LONGEST)
        if not raw:
            return
        part = raw
        while len(part) == _LONGEST and not part.endswith(b"\n"):
            part = file.readline(_LONGEST)  # the rest of a line that is too long, some at a time
        try:
            if part is not raw:
                raise TooLargeError(f"line {number} is longer than {_LONGEST >> 20} MB")
            record = _record(raw, number)
        except QaAppError as error:
            yield Line(number, problem=error)
            continue
        yield _line(number, record)


def _record(raw: bytes, number: int) -> dict[str, Any]:
    """The object on a line, known to be what JSON can hold. Raises MalformedRequestError."""
    try:
        record = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
        # Python reads what it would not write: NaN, numbers beyond all bounds, halves of surrogate pairs.
        _dumped(record).encode()
    except (ValueError, RecursionError) as error:
        raise MalformedRequestError(f"line {number} is not JSON in UTF-8: {error}") from error
    if not isinstance(record, dict):
        raise MalformedRequestError(f'line {number} is not an object such as {{"question": "Who?"}}')
    return record


def _line(number: int, record: dict[str, Any]) -> Line:
    kept = {name: value for name, value in record.items() if name != "context" and name not in RESULT}
    question, context = record.get("question"), record.get("context")
    try:
        if not isinstance(question, str):
            raise InvalidRequestError(f'line {number} has no text under "question"')
        check_question(question)
        if not (context is None or (isinstance(context, str) and context.strip())):
            raise InvalidRequestError(f'line {number} has no text under "context"; leave it out to ask the index')
    except InvalidRequestError as error:
        return Line(number, kept=kept, problem=error)
    return Line(number, question, context, kept)


def continued(out: BinaryIO, lines: Iterator[Line], path: Path) -> tuple[Iterator[Line], int, int]:
    """The lines that ``out`` lacks, how many it has, and how many of these are errors; cuts off a torn last line.

    Raises InvalidRequestError, and changes nothing, where ``out`` at ``path`` is not of these lines.
    """
    done = failed = end = 0
    out.seek(0)
    while written := out.readline(4 * _LONGEST):
        line = next(lines, None)
        torn = not written.endswith(b"\n")
        if line is None or not (written.startswith(line.start) or (torn and line.start.startswith(written))):
            raise InvalidRequestError(
                f"line {done + 1} of {path} does not belong to this input; name another output, give the input it was "
                "made from, or start it anew with --overwrite"
            )
        if torn:
            lines = itertools.chain([line], lines)
            break
        end += len(written)
        done += 1
        failed += written.startswith(line.failed_start)
    out.truncate(end)
    return lines, done, failed
