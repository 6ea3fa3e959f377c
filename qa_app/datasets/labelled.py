"""Texts with a label, and words with tags, from the files in which they are published."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from qa_app.datasets.files import read_text
from qa_app.errors import InvalidRequestError

_DOCUMENT = "-DOCSTART-"
_TAG = re.compile(r"O|[BI]-\S+")


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text and its label; rows with the same text are never divided between training and validation."""

    text: str
    label: str

    @property
    def group(self) -> str:
        """What is held out as a whole."""
        return self.text


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words and their tags in IOB2: ``B-`` begins an entity, ``I-`` continues it, ``O`` is none.

    ``group`` is its document where the file tells documents apart, else its text.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    group: str


@dataclass(frozen=True)
class FileReport:
    """What was read of a file."""

    path: str
    sha256: str
    examples: int

    def to_dict(self) -> dict[str, Any]:
        """For the recipe."""
        return asdict(self)


def read_texts(path: Path) -> tuple[list[LabelledText], FileReport]:
    """The rows of a file, plain or gzipped: CSV with a header, JSON Lines, or ``text;label`` lines.

    Raises NotFoundError, SettingsError and MalformedRequestError for files that cannot be read, and
    InvalidRequestError for a row that cannot be used, with its line.
    """
    content, digest = read_text(path)
    first = content.lstrip().split("\n", 1)[0].strip()
    if first.startswith("{"):
        rows = _json_rows(content, path)
    elif {"text", "label"} <= {name.strip() for name in first.replace('"', "").split(",")}:
        rows = _csv_rows(content, path)
    else:
        rows = _lines(content, path)
    examples = []
    for number, text, label in rows:
        if not text.strip() or not label.strip():
            _refuse(path, number, f"the {'label' if text.strip() else 'text'} is empty")
        examples.append(LabelledText(text.strip(), label.strip()))
    return _some(examples, path), FileReport(str(path), digest, len(examples))


def read_sentences(path: Path) -> tuple[list[Sentence], FileReport]:
    """The sentences of a file in the columns of CoNLL-2003, plain or gzipped; tags in IOB1 or IOB2.

    The first column is the word, the last the tag. Raises what :func:`read_texts` raises.
    """
    content, digest = read_text(path)
    examples: list[Sentence] = []
    words: list[str] = []
    tags: list[str] = []
    document = columns = 0

    def end() -> None:
        if words:
            group = f"{path} {document}" if document else " ".join(words)
            examples.append(Sentence(tuple(words), tuple(_iob2(tags)), group))
            words.clear()
            tags.clear()

    for number, line in enumerate(content.split("\n"), 1):
        fields = re.split(r"[ \t]+", line.strip(" \t\r"))
        if fields == [""]:
            end()
            continue
        if fields[0] == _DOCUMENT:
            end()
            document += 1
            continue
        columns = columns or len(fields)
        if len(fields) < 2 or len(fields) != columns:
            _refuse(path, number, f"there are {len(fields)} columns, not {max(columns, 2)}: a word ... and its tag")
        if not _TAG.fullmatch(fields[-1]):
            _refuse(path, number, f"the tag {fields[-1][:40]!r} is not O, B-KIND or I-KIND")
        words.append(fields[0])
        tags.append(fields[-1])
    end()
    return _some(examples, path), FileReport(str(path), digest, len(examples))


def spans(tags: list[str] | tuple[str, ...]) -> set[tuple[int, int, str]]:
    """The entities of a sentence's tags, in IOB1 or IOB2: first word, the word after the last, kind.

    An ``I-`` of another kind than before begins an entity, as the CoNLL shared tasks count.
    """
    found: set[tuple[int, int, str]] = set()
    begin = 0
    strict = [*_iob2(list(tags)), "O"]
    for number, tag in enumerate(strict):
        if number and strict[number - 1] != "O" and not tag.startswith("I-"):
            found.add((begin, number, strict[begin][2:]))
        if tag.startswith("B-"):
            begin = number
    return found


def _iob2(tags: list[str]) -> list[str]:
    return [
        f"B-{tag[2:]}" if tag.startswith("I-") and (before == "O" or before[2:] != tag[2:]) else tag
        for before, tag in zip(["O", *tags], tags)
    ]


def _json_rows(content: str, path: Path) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            _refuse(path, number, f"not JSON ({error})")
        text, label = (row.get("text"), row.get("label")) if isinstance(row, dict) else (None, None)
        if isinstance(label, int) and not isinstance(label, bool):
            label = str(label)
        if not isinstance(text, str) or not isinstance(label, str):
            _refuse(path, number, 'not of the form {"text": "...", "label": "..."}')
        try:
            (text + label).encode()
        except UnicodeEncodeError:
            _refuse(path, number, "half of a surrogate pair, which is not text")
        yield number, text, label


def _csv_rows(content: str, path: Path) -> Iterator[tuple[int, str, str]]:
    rows = csv.reader(io.StringIO(content, newline=""), strict=True)
    header: list[str] = []
    try:
        for row in rows:
            if not header:
                header = [name.strip() for name in row]
            elif row:
                if len(row) != len(header):
                    _refuse(path, rows.line_num, f"there are {len(row)} fields, not {len(header)}; quote commas")
                yield rows.line_num, row[header.index("text")], row[header.index("label")]
    except csv.Error as error:
        _refuse(path, rows.line_num, f"not CSV ({error})")


def _lines(content: str, path: Path) -> Iterator[tuple[int, str, str]]:
    header = content.lstrip().split("\n", 1)[0]
    names = header.replace(" ", "").strip() == "text;label"
    for number, line in enumerate(content.split("\n"), 1):
        if names and line.strip():
            names = False  # the first line names the columns
        elif line.strip():
            text, semicolon, label = line.rpartition(";")
            if not semicolon:
                _refuse(path, number, "neither CSV with the header text,label nor JSON Lines nor text;label")
            yield number, text, label


def _some(examples: list[Any], path: Path) -> list[Any]:
    if not examples:
        raise InvalidRequestError(f"{path} holds nothing to learn from")
    return examples


def _refuse(path: Path, line: int, why: str) -> NoReturn:
    raise InvalidRequestError(f"{path}, line {line}: {why}")
