"""Files of labelled texts and of tagged words, read strictly."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from qa_app.datasets.labelled import LabelledText, Sentence, read_sentences, read_texts, spans
from qa_app.errors import InvalidRequestError, MalformedRequestError, NotFoundError

ROWS = [LabelledText("The ferry, late; again", "anger"), LabelledText('He said "fine"', "joy")]
FORMS = {
    "csv": 'label,text\r\nanger,"The ferry, late; again"\r\njoy,"He said ""fine"""\r\n',
    "json": '{"text": "The ferry, late; again", "label": "anger"}\n\n{"label": "joy", "text": "He said \\"fine\\""}\n',
    "lines under a header": 'text;label\nThe ferry, late; again;anger\nHe said "fine";joy\n',
    "lines": 'The ferry, late; again;anger\r\nHe said "fine";joy\n',
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("packed", [False, True])
def test_rows_in_each_form(tmp_path: Path, form: str, packed: bool) -> None:
    """The three forms, plain and gzipped, with a byte order mark or without, give the same rows."""
    for mark in ("", "\ufeff"):
        content = (mark + FORMS[form]).encode()
        path = tmp_path / "rows"
        path.write_bytes(gzip.compress(content) if packed else content)
        rows, report = read_texts(path)
        assert rows == ROWS
        assert report.examples == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\nfine,joy\nlate, again,anger\n", "line 3: there are 3 fields"),
        ('text,label\n"one\nrow",joy\n ,joy\n', "line 4: the text is empty"),
        ('text,label\n"open,joy\n', "line 2: not CSV"),
        ('{"text": "a", "label": "b"}\n{"text": "a"}\n', "line 2: not of the form"),
        ('{"text": "a", "label": true}\n', "line 1: not of the form"),
        ('{"text": "a", "label": "b"}\nplain\n', "line 2: not JSON"),
        ('{"text": "\\ud800", "label": "b"}\n', "line 1: half of a surrogate"),
        ("a;joy\n\nb\n", "line 3: neither CSV"),
        ("a;joy\nb;\n", "line 2: the label is empty"),
        ("", "holds nothing"),
        ("text,label\n", "holds nothing"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, content: str, message: str) -> None:
    """A row that cannot be used is an error with its file and line."""
    path = tmp_path / "rows.txt"
    path.write_text(content)
    with pytest.raises(InvalidRequestError, match=f"rows.txt.*{message}"):
        read_texts(path)


CONLL = """-DOCSTART- -X- O O

Anna NNP I-NP I-PER
Berg NNP I-NP I-PER
Oslo NNP I-NP {oslo}
Bergen NNP I-NP {bergen}
. . O O

-DOCSTART- -X- O O

Rain NN I-NP O
"""


def test_iob1_and_iob2_are_one(tmp_path: Path) -> None:
    """Both ways to write tags are read as the same sentences, divided by document."""
    path = tmp_path / "train.conll"
    found = []
    for oslo, bergen, anna in (("I-LOC", "B-LOC", "I-PER"), ("B-LOC", "B-LOC", "B-PER")):
        text = CONLL.format(oslo=oslo, bergen=bergen).replace("I-PER", anna, 1).replace("\n", "\r\n")
        path.write_bytes(text.encode())
        found.append(read_sentences(path)[0])
    assert found[0] == found[1]
    first, second = found[0]
    assert first.words == ("Anna", "Berg", "Oslo", "Bergen", ".")
    assert first.tags == ("B-PER", "I-PER", "B-LOC", "B-LOC", "O")
    assert second == Sentence(("Rain",), ("O",), second.group)
    assert first.group != second.group


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Anna NNP I-PER\nBerg I-PER\n", "line 2: there are 2 columns, not 3"),
        ("Anna\n", "line 1: there are 1 columns, not 2"),
        ("Anna X I-PER\nBerg X E-PER\n", "line 2: the tag 'E-PER'"),
        ("-DOCSTART- -X- O\n\n", "holds nothing"),
    ],
)
def test_bad_tags_are_named(tmp_path: Path, content: str, message: str) -> None:
    """A line that cannot be used is an error with its file and line."""
    path = tmp_path / "bad.conll"
    path.write_text(content)
    with pytest.raises(InvalidRequestError, match=f"bad.conll.*{message}"):
        read_sentences(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """What is not there, is cut or is not text is told apart."""
    with pytest.raises(NotFoundError):
        read_texts(tmp_path / "none.csv")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"a;joy\n" * 99)[:-9])
    with pytest.raises(MalformedRequestError, match="damaged"):
        read_texts(tmp_path / "cut.gz")
    (tmp_path / "latin").write_bytes("Größe X O\n".encode("latin-1"))
    with pytest.raises(MalformedRequestError, match="UTF-8"):
        read_sentences(tmp_path / "latin")


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O", set()),
        ("B-A I-A O", {(0, 2, "A")}),
        ("I-A I-A B-A", {(0, 2, "A"), (2, 3, "A")}),
        ("B-A I-B I-B", {(0, 1, "A"), (1, 3, "B")}),
        ("O I-A O B-B", {(1, 2, "A"), (3, 4, "B")}),
        ("B-A B-A", {(0, 1, "A"), (1, 2, "A")}),
    ],
)
def test_entities_of_tags(tags: str, expected: set[tuple[int, int, str]]) -> None:
    """Entities begin and end where the shared tasks' own count lets them."""
    assert spans(tuple(tags.split())) == expected
