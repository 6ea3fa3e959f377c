"""``qa-app improve``: people's judgements make a candidate, which takes the reader's place only if it is better."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from haystack.schema import Document

from qa_app.datasets.squad import Question
from qa_app.errors import ConflictError, InvalidRequestError, ModelError, QaAppError
from qa_app.pipelines.feedback import keep, label_of
from qa_app.reading import calibration
from qa_app.reading.model_files import fingerprint
from qa_app.reading.promoted import PromotedReaders
from qa_app.reading.resolution import BUNDLED_FOLDER
from qa_app.stores.sqlite import SQLiteDocumentStore
from qa_app.training.improvement import improve
from qa_app.training.loop import Recipe
from qa_app.training.question_answering import Options, read_data
from tests.integration.test_cli import Shell
from tests.unit.reading.tiny import save_model
from tests.unit.training.squad import freight, write_squad


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
            title = article["title"]
            document = Document(id=f"{title}-{number}", content=text, meta={"name": title, "file_id": title})
            store.write_documents([document])
            for asked in paragraph["qas"]:
                answers = asked["answers"]
                start = answers[0]["answer_start"] if answers else 0
                words = answers[0]["text"] if answers else ""
                place = [{"start": start, "end": start + len(words)}]
                answer = {"answer": words, "offsets_in_document": place, "document_ids": [document.id]}
                sent = {
                    "query": f"{asked['question'][:-1]} of {document.id}?",
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
    assert made["better"] > made["worse"]
    learnt, measured = (
        {entry["title"] for entry in json.loads((Path(made["reader"]) / name).read_text())["data"]}
        for name in ("feedback.json", "held-out.json")
    )
    assert learnt.isdisjoint(measured)
    assert (len(learnt), len(measured)) == (48, 12), "files measure as a whole, whatever passages they have"
    assert made["before"]["total"] == made["held_out"] == 48
    kept = calibration.load(Path(made["reader"]) / calibration.NAME)
    former = calibration.load(BUNDLED_FOLDER / calibration.NAME)
    assert former
    assert kept == replace(former, precisions=()), "the former's serves until there is another, its precisions do not"

    def reader() -> str:
        return next(check["finding"] for check in shell.json("doctor") if check["name"] == "reader")

    assert made["reader"] in reader()
    assert shell.json("ask", "vask?")["answers"]
    assert "0 judgements are new since the last promoted reader" in shell("improve", code=2).stderr
    assert shell.json("improve", "--rollback") == {"reader": "bundled"}
    assert made["reader"] not in reader()
    assert "none to go back from" in shell("improve", "--rollback", code=2).stderr


def entries(seed: int) -> list[dict[str, Any]]:
    """48 judgements of 12 documents, each of a question of its own."""
    return [
        {
            "title": article["title"],
            "paragraphs": [{**paragraph, "qas": [{**asked, "question": f"{asked['question']} {asked['id']}"}]}],
        }
        for article in freight(48, seed)
        for paragraph in article["paragraphs"]
        for asked in paragraph["qas"]
    ]


def parts(entry: dict[str, Any]) -> tuple[str, str, str]:
    """Its document, its context and its question."""
    [paragraph] = entry["paragraphs"]
    return entry["title"], paragraph["context"], paragraph["qas"][0]["question"]


class TestPromotion:
    """With answers given, what becomes of the candidate."""

    ENTRIES: ClassVar = entries(3)

    @pytest.fixture
    def wanted(self, tmp_path: Path) -> str:
        return str(save_model(tmp_path / "tiny"))

    @pytest.fixture
    def readers(self, tmp_path: Path) -> PromotedReaders:
        return PromotedReaders(tmp_path / "readers")

    def round(
        self,
        readers: PromotedReaders,
        wanted: str,
        entries: list[Any] | None = None,
        *,
        better: int = 5,
        worse: int = 0,
        **options: Any,
    ) -> Any:
        """One round in which the candidate is right where the current reader errs in ``better`` questions, and errs
        where that is right in ``worse``."""
        current = readers.current(wanted)

        def score(model: str, questions: Sequence[Question]) -> tuple[dict[str, float], list[float]]:
            wrong = range(better) if model == current else range(len(questions) - worse, len(questions))
            right = [float(number not in wrong) for number in range(len(questions))]
            return {"f1": 100 * sum(right) / len(right)}, right

        recipe = Recipe(epochs=1, tokens=256, validations=1, precision="f32")
        calibrations = readers.folder.parent / "calibrations"
        return improve(readers, wanted, entries or self.ENTRIES, score, calibrations, recipe=recipe, **options)

    def kept(self, made: Any) -> list[list[tuple[str, str, str]]]:
        """The parts of what the promoted reader learnt and was measured with."""
        return [
            [parts(entry) for entry in json.loads((Path(made.reader) / name).read_text())["data"]]
            for name in ("feedback.json", "held-out.json")
        ]

    def test_a_better_one(self, readers: PromotedReaders, wanted: str) -> None:
        """It stands for the wanted reader, and what it learnt and what measured it have no document in common."""
        made = self.round(readers, wanted)
        assert made.promoted
        assert (made.better, made.worse, made.held_out) == (5, 0, 12)
        assert made.gain == pytest.approx(100 * 5 / 12)
        assert readers.current(wanted) == made.reader != wanted
        assert readers.current("another") == "another"
        learnt, measured = self.kept(made)
        assert {one[0] for one in learnt}.isdisjoint(one[0] for one in measured)
        assert len(learnt) + len(measured) == made.judgements == 48

    def test_no_question_on_both_sides(self, readers: PromotedReaders, wanted: str) -> None:
        """A question judged in many documents measures or teaches, not both; what is left out waits."""
        given = json.loads(json.dumps(self.ENTRIES))
        for number, entry in enumerate(given):
            # Each is asked in two documents, in other letters and with other spaces.
            text = f"where does load {number % 24} go?"
            entry["paragraphs"][0]["qas"][0]["question"] = text.upper().replace(" ", "  ") if number < 24 else text
        made = self.round(readers, wanted, given)
        learnt, measured = self.kept(made)
        asked = [{" ".join(one[2].lower().split()) for one in some} for some in (learnt, measured)]
        assert asked[0]
        assert not asked[0] & asked[1]
        assert made.judgements == len(learnt) + len(measured) == len(readers.learnt(wanted)) < 48

    def test_nothing_held_out_is_learnt(self, readers: PromotedReaders, wanted: str, tmp_path: Path) -> None:
        """Documents, contexts and questions of a held-out file train nothing, whether judged or in other data."""
        given, others, held = self.ENTRIES, entries(4), [*self.ENTRIES[:6], *entries(4)[:6]]
        file, data = write_squad(tmp_path / "held.json", held), write_squad(tmp_path / "data.json", others)
        made = self.round(readers, wanted, given, held_out=file, data=[f"{data}:2"])
        assert made.held_out == 12
        assert made.judgements == 40, "two documents of four judgements are held out"
        assert json.loads((Path(made.reader) / "training.json").read_text())["apart"] == [str(file)]
        options = Options(data=(str(data),), start=wanted, apart=(str(file),))
        learnt, validating, _ = read_data(options)
        assert len(learnt) + len(validating) == 40
        measured = [part for entry in held for part in parts(entry)]
        for one in [*learnt, *validating]:
            assert not {one.document, one.context, one.question} & set(measured)

    @pytest.mark.parametrize("content", [None, "", "{", '{"data": []}'])
    def test_a_bad_held_out_file(
        self, readers: PromotedReaders, wanted: str, tmp_path: Path, content: str | None
    ) -> None:
        """It ends the command before anything is trained."""
        file = tmp_path / "held.json"
        if content is not None:
            file.write_text(content)
        told: list[str] = []
        with pytest.raises(QaAppError, match=r"held\.json"):
            self.round(readers, wanted, held_out=file, on_message=told.append)
        assert not told
        assert not readers.folder.exists()

    @pytest.mark.parametrize(("better", "worse"), [(0, 0), (3, 0), (6, 2), (3, 3), (0, 5)])
    def test_no_better_one(self, readers: PromotedReaders, wanted: str, better: int, worse: int) -> None:
        """One that is no better, or that chance may have made better, is removed; the judgements wait."""
        made = self.round(readers, wanted, better=better, worse=worse)
        assert (made.better, made.worse) == (better, worse)
        assert not made.promoted
        assert readers.current(wanted) == made.reader == wanted
        assert not list(readers.folder.glob("reader-*"))
        assert not readers.learnt(wanted)

    def test_one_after_the_other(self, readers: PromotedReaders, wanted: str) -> None:
        """The second begins with the first, needs judgements of its own, and going back goes one step at a time."""
        first = self.round(readers, wanted).reader
        with pytest.raises(InvalidRequestError, match="0 judgements are new since the last promoted reader"):
            self.round(readers, wanted)
        second = self.round(readers, wanted, [*self.ENTRIES, *entries(4)])
        assert second.judgements == 48
        assert json.loads((Path(second.reader) / "training.json").read_text())["start"] == first
        assert readers.rollback(wanted) == first
        assert readers.rollback(wanted) == wanted
        with pytest.raises(ConflictError):
            readers.rollback(wanted)

    def test_the_calibration_in_use(self, readers: PromotedReaders, wanted: str, tmp_path: Path) -> None:
        """A person's own goes on with the candidate; how often its answers are right has to be measured anew."""
        own = calibration.Calibration(2.0, 0.5, 0.25, 1.0, precisions=((0.5, 0.75),))
        (tmp_path / "calibrations").mkdir()
        own.save(tmp_path / "calibrations" / f"{fingerprint(Path(wanted))}.json")
        replace(own, temperature=4.0).save(Path(wanted) / calibration.NAME)
        reader = Path(self.round(readers, wanted).reader)
        assert calibration.load(reader / calibration.NAME) == replace(own, precisions=())

    def test_nothing_judged(self, readers: PromotedReaders, wanted: str) -> None:
        """Where no reader was promoted, none is spoken of."""
        with pytest.raises(InvalidRequestError, match=r"^1 judgements, at least 20 are needed"):
            self.round(readers, wanted, self.ENTRIES[:1])

    def test_too_few_documents(self, readers: PromotedReaders, wanted: str) -> None:
        """Judgements of one document cannot teach and measure, and nothing is left of the attempt."""
        given = [{**entry, "title": "one"} for entry in self.ENTRIES]
        with pytest.raises(InvalidRequestError, match="--held-out"):
            self.round(readers, wanted, given)
        assert not list(readers.folder.glob("reader-*"))

    def test_one_document_and_a_held_out_file(self, readers: PromotedReaders, wanted: str, tmp_path: Path) -> None:
        """Judgements of one document teach where others measure."""
        given = [{**entry, "title": "one"} for entry in self.ENTRIES]
        file = write_squad(tmp_path / "held.json", entries(4)[:12])
        assert self.round(readers, wanted, given, held_out=file).judgements == 48

    def test_leftovers(self, readers: PromotedReaders, wanted: str) -> None:
        """What killed rounds and a rollback left goes when another begins; what is listed stays, whoever wants it."""
        [first, second, third, left] = [readers.folder / f"reader-{number}" for number in (1, 2, 3, 9)]
        for path in (first, second, third, left):
            path.mkdir(parents=True)
        for name, path in ((wanted, first), (wanted, second), ("another", third)):
            readers.promote(name, path, [])
        with readers.candidate() as candidate:
            assert all(path.exists() for path in (first, second, third))
            assert not left.exists()
            candidate.mkdir()
            with pytest.raises(ConflictError), readers.candidate():
                pass
            assert candidate.exists(), "another command must not remove what this one makes"
        assert not candidate.exists()
        readers.rollback(wanted)
        with readers.candidate():
            assert all(path.exists() for path in (first, third))
            assert not second.exists()

    @pytest.mark.parametrize("content", ["{", "[]", '{"a": [{}]}', '{"a": 3}'])
    def test_a_damaged_list(self, readers: PromotedReaders, content: str) -> None:
        """The error names the file and the way out."""
        readers.folder.mkdir()
        (readers.folder / "promoted.json").write_text(content)
        with pytest.raises(ModelError, match=r"promoted\.json cannot be read"):
            readers.current("a")
