"""``qa-app improve``: people's judgements make a candidate, which takes the reader's place only if it is better."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from haystack.schema import Document

from qa_app.errors import ConflictError, InvalidRequestError, ModelError
from qa_app.pipelines.feedback import keep, label_of
from qa_app.reading import calibration
from qa_app.reading.promoted import PromotedReaders
from qa_app.stores.sqlite import SQLiteDocumentStore
from qa_app.training.improvement import improve
from qa_app.training.loop import Recipe
from tests.integration.test_cli import Shell
from tests.unit.reading.tiny import save_model
from tests.unit.training.squad import freight


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def judge(shell: Shell, count: int, seed: int) -> None:
    """Keeps ``count`` judgements of people, after a rule that the bundled reader does not know."""
    path = Path(shell.environment["QA_DATA_DIR"]) / "store.sqlite"
    path.parent.mkdir(exist_ok=True)
    store = SQLiteDocumentStore(path=str(path), index="documents", label_index="documents-labels")
    for article in freight(count, seed):
        for number, paragraph in enumerate(article["paragraphs"]):
            text = paragraph["context"]
            document = Document(id=f"{article['title']}-{number}", content=text, meta={"name": article["title"]})
            store.write_documents([document])
            for asked in paragraph["qas"]:
                answers = asked["answers"]
                start = answers[0]["answer_start"] if answers else 0
                words = answers[0]["text"] if answers else ""
                place = [{"start": start, "end": start + len(words)}]
                answer = {"answer": words, "offsets_in_document": place, "document_ids": [document.id]}
                sent = {
                    "query": asked["question"],
                    "document": {"id": document.id},
                    "answer": answer,
                    "is_correct_answer": True,
                    "is_correct_document": True,
                    "origin": "user-feedback",
                }
                keep(store, label_of(sent))
    store.finish_writing()
    store.close()


@pytest.mark.reader
@pytest.mark.slow
def test_from_judgements_to_another_reader_and_back(shell: Shell) -> None:
    """The candidate that learnt is promoted and answers from then on; judgements count once; rollback takes it back."""
    judge(shell, 240, seed=1)
    made = shell.json("improve")
    assert made["promoted"]
    assert made["judgements"] == 240
    assert made["gain"] == pytest.approx(made["after"]["f1"] - made["before"]["f1"])
    assert made["gain"] > 0
    assert made["before"]["total"] == made["held_out"] == 48
    assert (Path(made["reader"]) / calibration.NAME).exists(), "the former's calibration serves until there is another"

    def reader() -> str:
        return next(check["finding"] for check in shell.json("doctor") if check["name"] == "reader")

    assert made["reader"] in reader()
    assert shell.json("ask", "vask?")["answers"]
    assert "0 judgements are new" in shell("improve", code=2).stderr
    assert shell.json("improve", "--rollback") == {"reader": "bundled"}
    assert made["reader"] not in reader()
    assert "none to go back from" in shell("improve", "--rollback", code=2).stderr


class TestPromotion:
    """With scores given, what becomes of the candidate."""

    ENTRIES: ClassVar = [
        {"title": article["title"], "paragraphs": [{**paragraph, "qas": [asked]}]}
        for article in freight(48, 3)
        for paragraph in article["paragraphs"]
        for asked in paragraph["qas"]
    ]

    @pytest.fixture
    def wanted(self, tmp_path: Path) -> str:
        return str(save_model(tmp_path / "tiny"))

    @pytest.fixture
    def readers(self, tmp_path: Path) -> PromotedReaders:
        return PromotedReaders(tmp_path / "readers")

    def round(self, readers: PromotedReaders, wanted: str, after: float, entries: list[Any] | None = None) -> Any:
        """One round in which the current reader has an F1 of 50 and the candidate that of ``after``."""
        current = readers.current(wanted)

        def score(model: str, file: Path) -> dict[str, float]:
            asked = json.loads(file.read_text())["data"]
            return {"f1": 50.0 if model == current else after, "total": len(asked)}

        recipe = Recipe(epochs=1, tokens=256, validations=1, precision="f32")
        return improve(readers, wanted, entries or self.ENTRIES, score, recipe=recipe)

    def test_a_better_one(self, readers: PromotedReaders, wanted: str) -> None:
        """It stands for the wanted reader, what it learnt and what it was measured with are of different documents."""
        made = self.round(readers, wanted, 50.5)
        assert made.promoted
        assert made.gain == 0.5
        assert readers.current(wanted) == made.reader != wanted
        assert readers.current("another") == "another"
        kept = [
            json.loads((Path(made.reader) / name).read_text())["data"] for name in ("feedback.json", "held-out.json")
        ]
        learnt, measured = ({entry["paragraphs"][0]["context"] for entry in entries} for entries in kept)
        assert not learnt & measured
        assert sum(map(len, kept)) == 48

    @pytest.mark.parametrize("after", [50.0, 49.0])
    def test_no_better_one(self, readers: PromotedReaders, wanted: str, after: float) -> None:
        """It is removed, the reader stays, and the judgements wait for another round."""
        made = self.round(readers, wanted, after)
        assert not made.promoted
        assert readers.current(wanted) == made.reader == wanted
        assert not list(readers.folder.glob("reader-*"))
        assert not readers.learnt(wanted)

    def test_one_after_the_other(self, readers: PromotedReaders, wanted: str) -> None:
        """The second begins with the first, needs judgements of its own, and going back goes one step at a time."""
        first = self.round(readers, wanted, 60.0).reader
        with pytest.raises(InvalidRequestError, match="0 judgements are new"):
            self.round(readers, wanted, 60.0)
        more = [json.loads(json.dumps(entry).replace("freight 3", "freight 4")) for entry in self.ENTRIES]
        second = self.round(readers, wanted, 60.0, [*self.ENTRIES, *more])
        assert second.judgements == 48
        assert json.loads((Path(second.reader) / "training.json").read_text())["start"] == first
        assert readers.rollback(wanted) == first
        assert readers.rollback(wanted) == wanted
        with pytest.raises(ConflictError):
            readers.rollback(wanted)

    def test_too_few_documents(self, readers: PromotedReaders, wanted: str) -> None:
        """Judgements of one passage cannot teach and measure, and nothing is left of the attempt."""
        [first, *_] = self.ENTRIES
        some = [
            json.loads(json.dumps(first).replace(first["paragraphs"][0]["qas"][0]["id"], f"q{n}")) for n in range(24)
        ]
        with pytest.raises(InvalidRequestError, match="--held-out"):
            self.round(readers, wanted, 60.0, some)
        assert not list(readers.folder.glob("reader-*"))

    @pytest.mark.parametrize("content", ["{", "[]", '{"a": [{}]}', '{"a": 3}'])
    def test_a_damaged_list(self, readers: PromotedReaders, content: str) -> None:
        """The error names the file and the way out."""
        readers.folder.mkdir()
        (readers.folder / "promoted.json").write_text(content)
        with pytest.raises(ModelError, match=r"promoted\.json cannot be read"):
            readers.current("a")
