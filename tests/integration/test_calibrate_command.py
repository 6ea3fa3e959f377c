"""``qa-app calibrate`` on the bundled reader, and what ``--min-precision`` makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qa_app.reading.calibration import Calibration, load
from tests.ingesting import write
from tests.integration.test_cli import Shell

pytestmark = pytest.mark.reader


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def questions(path: Path, count: int, contexts: int) -> Path:
    """A SQuAD file of ``count`` questions about who keeps which lighthouse, over ``contexts`` paragraphs."""
    names = ["Ada", "Berta", "Clara", "Dora", "Edda", "Frieda", "Gerda", "Hilda", "Ida", "Jutta"]
    paragraphs = []
    for number in range(contexts):
        context = f"The lighthouse number {number} on the coast is kept by {names[number % 10]} Storm{number}."
        answer = {"text": f"{names[number % 10]} Storm{number}", "answer_start": context.index(names[number % 10])}
        asked = range(number, count, contexts)
        paragraphs.append(
            {
                "context": context,
                "qas": [
                    {"id": f"q{one}", "question": f"Who keeps the lighthouse number {number}?", "answers": [answer]}
                    for one in asked
                ],
            }
        )
    path.write_text(json.dumps({"version": "1.1", "data": [{"title": "Coast", "paragraphs": paragraphs}]}))
    return path


def test_the_whole_way(shell: Shell, tmp_path: Path) -> None:
    """A calibration is fitted to questions, a third of them without their passages, and written where asked."""
    output = tmp_path / "calibration.json"
    found = shell.json("calibrate", questions(tmp_path / "questions.json", 170, 85), "--output", output)
    assert 100 <= found["questions"] <= 170
    assert 0 <= found["error"] <= 100
    assert 0.3 < found["answered"] < 1, "a third of the answers was taken away"
    calibration = load(output)
    assert isinstance(calibration, Calibration)
    assert calibration.temperature == pytest.approx(found["calibration"]["temperature"])


def test_what_does_not_suffice(shell: Shell, tmp_path: Path) -> None:
    """Too few questions or contexts, and a place that cannot be written, are told before anything is asked."""
    few, near, enough = (
        questions(tmp_path / f"{count}-{contexts}.json", count, contexts)
        for count, contexts in ((20, 20), (120, 2), (120, 60))
    )
    assert "20 questions are too few" in shell("calibrate", few, code=2).stderr
    assert "questions on 2 contexts" in shell("calibrate", near, code=2).stderr
    assert str(tmp_path) in shell("calibrate", enough, "--output", tmp_path, code=2).stderr


def test_answers_that_are_not_sure_enough(shell: Shell, tmp_path: Path) -> None:
    """With --min-precision an answer that is there, but of an unsure kind, is withheld and told so."""
    write(tmp_path / "papers", {"a.txt": "The lighthouse keeper is called Ada."})
    shell("ingest", "papers")
    question = "Who is the lighthouse keeper?"
    assert "Ada" in shell("ask", question).stdout
    withheld = shell("ask", question, "--min-precision", "0.99")
    assert "No answer that is sure enough" in withheld.stdout
    assert "99%" in withheld.stderr
