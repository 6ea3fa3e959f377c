"""``qa-app evaluate`` as a person uses it: the reader, files of predictions, and the whole pipeline."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from qa_app import bootstrap
from qa_app.cli.comparing import WORSE
from qa_app.cli.progress import Progress
from qa_app.datasets.squad import Question, read_questions
from qa_app.errors import InvalidRequestError
from qa_app.evaluation.outcomes import metrics, misses
from qa_app.evaluation.pipeline import Outcome
from qa_app.evaluation.reading import read
from qa_app.reading.promoted import PromotedReaders
from qa_app.reading.reader import PassageReader
from qa_app.settings import Settings
from tests.browser import chromium
from tests.ingesting import settings_for
from tests.integration.test_cli import Shell

#: Contexts with questions and answers; no answer where there is none. The first is two passages long, and its last
#: answer lies in the second.
CONTEXTS: dict[str, list[tuple[str, str]]] = {
    "The lighthouse of Skar was built by Anna Berg in 1904. "
    + "Its keepers wrote down the weather every morning, and the books are still there. " * 12
    + "The lamp was made in Bergen by Olav Lund.": [
        ("Who built the lighthouse of Skar?", "Anna Berg"),
        ("When was the lighthouse built?", "1904"),
        ("Who made the lamp?", "Olav Lund"),
    ],
    "Tea from Assam is strong. Water for green tea should be at 70 degrees. It was first sold in Tromsø by Ida Moe.": [
        ("How hot should water for green tea be?", "70 degrees"),
        ("Who first sold tea in Tromsø?", "Ida Moe"),
        ("Who plays the violin in the garden?", ""),
    ],
}


def squad(contexts: dict[str, list[tuple[str, str]]] = CONTEXTS) -> dict[str, Any]:
    """The contexts as a SQuAD file; 🏠 before each makes bytes, code units and code points differ."""
    paragraphs = []
    for number, (text, asked) in enumerate(contexts.items()):
        context = f"🏠 {text}"
        qas = [
            {
                "id": f"{number}-{place}",
                "question": question,
                "answers": [{"text": answer, "answer_start": context.index(answer)}] if answer else [],
            }
            for place, (question, answer) in enumerate(asked)
        ]
        paragraphs.append({"context": context, "qas": qas})
    return {"version": "v2.0", "data": [{"title": "Skar & <Tromsø>", "paragraphs": paragraphs}]}


def save(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    save(tmp_path / "squad.json", squad())
    return Shell(tmp_path)


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> list[Question]:
    return read_questions(save(tmp_path_factory.mktemp("squad") / "squad.json", squad()), places=True)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> PassageReader:
    return bootstrap.open_reader(settings_for(tmp_path_factory.mktemp("reader")))


@pytest.mark.reader
class TestReader:
    """The reader on each question's own paragraph."""

    def test_predictions_are_official(self, shell: Shell) -> None:
        """Its files of predictions and scores give the figures that it prints, by the official keys and no others."""
        figures = shell.json("evaluate", "reader", "squad.json", "--predictions", "out.json")
        answers = json.loads((shell.folder / "out.json").read_text())
        assert set(answers) == {"0-0", "0-1", "0-2", "1-0", "1-1", "1-2"}
        assert answers["0-0"] == "Anna Berg"
        assert list(figures) == [
            *(f"{prefix}{name}" for prefix in ("", "HasAns_", "NoAns_") for name in ("exact", "f1", "total")),
            *("best_exact", "best_exact_thresh", "best_f1", "best_f1_thresh"),
        ]
        assert figures["f1"] > 50
        again = shell.json(
            "evaluate", "predictions", "squad.json", "out.json", "--no-answer-scores", "out.no-answer.json"
        )
        assert again == figures

    def test_what_cannot_be_used_is_said_first(self, shell: Shell) -> None:
        """A place that cannot be written to, a wrong earlier run and a wrong file cost no reading."""
        for options in (
            ["squad.json", "--predictions", "nowhere/out.json"],
            ["squad.json", "--predictions", "."],
            ["squad.json", "--compare", "squad.json"],
            ["gone.json"],
        ):
            done = shell("evaluate", "reader", *options, code=2)
            assert options[-1] in done.stderr

    @pytest.mark.parametrize("window", ["5", "1000"])
    def test_windows_that_cannot_be(self, shell: Shell, window: str) -> None:
        """A window without room for a question, or longer than the reader takes, is refused by the option's name."""
        done = shell("evaluate", "reader", "squad.json", "--window", window, code=2)
        assert f"windows of {window} tokens (max_seq_len, --window)" in done.stderr

    def test_another_than_the_promoted_one(self, shell: Shell) -> None:
        """A promoted reader is named where it is measured, and a model named on the command line is measured itself."""
        readers = shell.folder / "data" / "readers"
        candidate = readers / "reader-1"
        PromotedReaders(readers).promote("bundled", candidate, [])
        done = shell("evaluate", "reader", "squad.json", code=5)
        assert f"the reader is {candidate}, which was promoted in place of bundled" in done.stderr
        done = shell("evaluate", "reader", "squad.json", "--limit", "1", "--model", "bundled")
        assert str(candidate) not in done.stderr

    def test_decisions(self, questions: list[Question], reader: PassageReader) -> None:
        """A prediction is empty just where "no answer" is likelier than the best span; so also in any batch."""
        readings = list(read(reader, questions))
        assert [reading.id for reading in readings] == [question.id for question in questions]
        assert all((reading.no_answer > 0.5) == (not reading.prediction) for reading in readings)
        assert {bool(reading.prediction) for reading in readings} == {True, False}
        alone = [reading for question in questions for reading in read(reader, [question])]
        assert [one.prediction for one in alone] == [one.prediction for one in readings]

    def test_unreadable(self, questions: list[Question], reader: PassageReader) -> None:
        """A question of which nothing is read is named, and a paragraph of which nothing is read has no answer."""
        with pytest.raises(InvalidRequestError, match="'odd'"):
            next(read(reader, [*questions, Question("odd", "\u200d", "", "Text.", ())]))
        [reading] = read(reader, [Question("blank", "Who?", "", " \u200d", ())])
        assert (reading.prediction, reading.no_answer) == ("", 1.0)


class TestPredictions:
    """Anybody's predictions."""

    def test_missing_and_foreign(self, shell: Shell) -> None:
        """Questions without a prediction, and predictions without a question, are told on standard error."""
        save(shell.folder / "p.json", {"0-0": "anna berg", "0-1": "1905", "other": "x"})
        done = shell("evaluate", "predictions", "squad.json", "p.json", "--json")
        assert json.loads(done.stdout)["exact"] == 50
        assert "4 questions of squad.json have no prediction and are left out: 0-2, 1-0, 1-1, ..." in done.stderr
        assert "1 predictions are for questions that are not in squad.json: other" in done.stderr

    def test_threshold(self, shell: Shell) -> None:
        """Scores above the threshold empty a prediction, and the best threshold is looked for."""
        save(shell.folder / "p.json", {"0-0": "Anna Berg", "1-2": "Ida Moe"})
        save(shell.folder / "s.json", {"0-0": 0.25, "1-2": 0.75})
        command = ["evaluate", "predictions", "squad.json", "p.json", "--no-answer-scores", "s.json"]
        figures = shell.json(*command)
        assert (figures["exact"], figures["best_exact"], figures["best_exact_thresh"]) == (50, 100, 0.25)
        assert shell.json(*command, "--no-answer-threshold", "0.5")["exact"] == 100

    def test_table(self, shell: Shell) -> None:
        """Without --json a person reads the same figures, a line each."""
        save(shell.folder / "p.json", {"0-0": "Anna Berg"})
        lines = shell("evaluate", "predictions", "squad.json", "p.json").stdout.splitlines()
        assert [line.split() for line in lines][:3] == [["exact", "100.00"], ["f1", "100.00"], ["total", "1"]]

    def test_compared_with_an_earlier_run(self, shell: Shell) -> None:
        """A drop beyond the tolerance ends with its own exit code and names each figure; one within it passes."""
        save(shell.folder / "good.json", {"0-0": "Anna Berg", "0-1": "1904"})
        save(shell.folder / "worse.json", {"0-0": "Anna Berg", "0-1": "in 1904"})
        earlier = shell.json("evaluate", "predictions", "squad.json", "good.json")
        save(shell.folder / "earlier.json", earlier)
        command = ["evaluate", "predictions", "squad.json", "worse.json", "--compare", "earlier.json"]
        done = shell(*command, "--json", code=WORSE)
        assert json.loads(done.stdout)["exact"] == 50
        assert "exact was 100.00 and is 50.00, worse by 50.00" in done.stderr
        assert "HasAns_f1 was 100.00 and is 83.33, worse by 16.67" in done.stderr
        assert "exact" not in shell(*command, "--tolerance", "50", code=0).stderr
        assert shell(*command, "--tolerance", "20", code=WORSE).stderr.count("worse by") == 2

    def test_what_cannot_be_compared(self, shell: Shell) -> None:
        """An earlier run without figures of quality, of other questions or with other scores ends as a wrong option."""
        save(shell.folder / "p.json", {"0-0": "Anna Berg"})
        save(shell.folder / "s.json", {"0-0": 0.1})
        command = ["evaluate", "predictions", "squad.json", "p.json"]
        save(shell.folder / "empty.json", {"metrics": {"total": 1}})
        save(shell.folder / "other.json", {"exact": 1, "f1": 1, "total": 12})
        save(shell.folder / "scored.json", shell.json(*command, "--no-answer-scores", "s.json"))
        for name, why in (("empty", "not an earlier run"), ("other", "12 questions"), ("scored", "--no-answer-scores")):
            assert why in shell(*command, "--compare", f"{name}.json", code=2).stderr

    def test_small_thresholds(self, shell: Shell) -> None:
        """A threshold near 0 is printed with the digits that it has."""
        save(shell.folder / "p.json", {"0-0": "Anna Berg", "1-2": "Ida Moe"})
        save(shell.folder / "s.json", {"0-0": 0.000048, "1-2": 0.75})
        done = shell("evaluate", "predictions", "squad.json", "p.json", "--no-answer-scores", "s.json")
        assert ["best_exact_thresh", "4.8e-05"] in [line.split() for line in done.stdout.splitlines()]

    def test_needs_nothing_heavy(self, shell: Shell) -> None:
        """Scoring a file imports neither Haystack nor torch."""
        save(shell.folder / "p.json", {"0-0": "Anna Berg"})
        code = (
            "import sys; sys.argv = ['qa-app', 'evaluate', 'predictions', 'squad.json', 'p.json']\n"
            "from qa_app.cli.main import run\ntry: run()\n"
            "finally: print('HEAVY', sorted({'haystack', 'torch', 'numpy', 'matplotlib'} & set(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=shell.folder, capture_output=True, text=True, check=False
        )
        assert "HEAVY []" in done.stdout, done.stdout + done.stderr


def outcomes(settings: Settings, questions: list[Question]) -> list[Outcome]:
    with bootstrap.open_pipeline_evaluation(settings) as evaluation:
        evaluation.index(questions)
        return list(evaluation.run(questions))


@pytest.mark.reader
class TestPipeline:
    """The whole way, over an index of its own."""

    def test_command(self, shell: Shell) -> None:
        """Figures, misses, report and comparison come from one run; nothing is left in the data folder."""
        usual = {"exact": 0.0, "f1": 0.0, "ece": 100.0, "total": 6}
        save(shell.folder / "earlier.json", {"metrics": {**usual, "recall@10": 100.0, "mrr": 120.0}})
        options = ["--report", "r.html", "--compare", "earlier.json", "--json"]
        done = shell("evaluate", "pipeline", "squad.json", *options, code=WORSE)
        assert "mrr was 120.00" in done.stderr
        assert "recall@10" not in done.stderr
        run = json.loads(done.stdout)
        assert run["run"]["contexts"] == 2
        assert run["run"]["passages"] > 2
        assert run["metrics"]["total"] == 6
        assert run["run"]["sha256"] == hashlib.sha256((shell.folder / "squad.json").read_bytes()).hexdigest()
        assert (run["run"]["least precision"], run["run"]["calibration"]) == (0.0, "the reader's own")
        assert "ece is of 6 questions, too few to mean much" in done.stderr
        save(shell.folder / "other.json", {**run, "run": {"sha256": "0" * 64}})
        other = shell("evaluate", "pipeline", "squad.json", "--compare", "other.json", code=2)
        assert "was on a file with the SHA-256 000000000000..." in other.stderr
        assert run["metrics"]["recall@10"] == 100
        assert set(run["latency_ms"]) == {"p50", "p95", "p99"}
        assert sum(part["questions"] for part in run["calibration"]) == 6
        wrong = round(6 * (1 - run["metrics"]["exact"] / 100))
        assert [miss["missed_by"] for miss in run["misses"]] == ["reader"] * wrong
        assert (shell.folder / "r.html").read_text().startswith("<!DOCTYPE html>")
        assert not (shell.folder / "data" / "store.sqlite").exists()

    def test_table(self, shell: Shell) -> None:
        """A person reads the figures and the misses, and what documents hold drives no terminal."""
        data = squad()
        paragraph = data["data"][0]["paragraphs"][0]
        # What nobody would answer, so that it is missed.
        wrong = {"text": "weather", "answer_start": paragraph["context"].index("weather")}
        paragraph["qas"] = [{"id": "evil", "question": "Who built\x1b[31m it?", "answers": [wrong]}]
        save(shell.folder / "evil.json", data)
        done = shell("evaluate", "pipeline", "evil.json", "--limit", "1")
        lines = done.stdout.splitlines()
        assert ["total", "1"] in [line.split() for line in lines]
        assert "- Who built\\x1b[31m it?" in lines
        assert "\x1b" not in done.stdout

    def test_gold_passages(self, questions: list[Question], tmp_path: Path) -> None:
        """The passages that hold an answer are gold, whichever part of a long context it stands in."""
        found = {outcome.question.id: outcome for outcome in outcomes(settings_for(tmp_path), questions)}
        assert all(found[id].gold == 1 and found[id].gold_rank == 1 for id in ("0-0", "0-2", "1-0"))
        assert found["1-2"].gold == 0
        assert found["1-2"].gold_rank is None
        assert found["0-0"].gold_read

    def test_a_copy_of_a_context(self, questions: list[Question], tmp_path: Path) -> None:
        """A context that two articles have is one document."""
        twice = [*questions, Question("again", "Who built the lighthouse?", "Copy", questions[0].context, ())]
        with bootstrap.open_pipeline_evaluation(settings_for(tmp_path)) as evaluation:
            evaluation.index(twice)
            assert evaluation.contexts == 2

    def test_missed_by_the_retriever(self, tmp_path: Path) -> None:
        """Where the passage with the answer is not read, the miss is the retriever's, with the passage's rank."""
        nearer = {f"Who built what in the town of Lund, asked {n} people.": [] for n in range(8)}
        contexts = {"A bridge stands there since Karin Dahl built it.": [("Who built what in Lund?", "Karin Dahl")]}
        questions = read_questions(save(tmp_path / "s.json", squad({**nearer, **contexts})), places=True)
        everything = [*questions, *(Question(text, "Who?", "", text, ()) for text in nearer)]
        settings = settings_for(tmp_path / "data", retriever_top_k=3)
        with bootstrap.open_pipeline_evaluation(settings) as evaluation:
            evaluation.index(everything)
            [outcome] = evaluation.run(questions)
        assert outcome.gold_rank == 9
        [miss] = misses([outcome])
        assert (miss.missed_by, miss.gold_rank) == ("retriever", 9)
        assert "at rank 9, and 3 were read" in miss.why
        assert metrics([outcome])["recall@5"] == 0

    @pytest.mark.elasticsearch
    def test_on_elasticsearch(self, questions: list[Question], elasticsearch_url: str, tmp_path: Path) -> None:
        """The same questions find the same passages there, in an index that is gone afterwards; others stay."""
        settings = settings_for(tmp_path, elasticsearch_url, index="evaluation-neighbour")
        with bootstrap.open_store(settings) as store:
            store.write_documents([{"id": "1", "content": "stays"}])
            try:
                there = outcomes(settings, questions)
                assert [o.gold_rank for o in there] == [
                    o.gold_rank for o in outcomes(settings_for(tmp_path), questions)
                ]
                assert scratch(store.get_indexes()) == []
                assert store.get_document_count() == 1
            finally:
                store.delete_index("evaluation-neighbour")

    @pytest.mark.parametrize("kind", ["sqlite", pytest.param("elasticsearch", marks=pytest.mark.elasticsearch)])
    def test_interrupted(self, shell: Shell, kind: str, request: pytest.FixtureRequest) -> None:
        """Ctrl-C in the middle of a run leaves neither a scratch index nor a scratch folder behind."""
        temporary = shell.folder / "tmp"
        temporary.mkdir()
        environment = {**shell.environment, "TMPDIR": str(temporary)}
        url = None
        if kind == "elasticsearch":
            url = request.getfixturevalue("elasticsearch_url")
            environment |= {"QA_STORE": "elasticsearch", "QA_ELASTICSEARCH_URL": url}
        settings = settings_for(shell.folder / "watcher", url)
        # Far more questions than can be answered before the signal comes.
        asked = [(f"Who built the lighthouse of Skar, I ask for the {n}. time?", "Anna Berg") for n in range(5000)]
        save(shell.folder / "long.json", squad({next(iter(CONTEXTS)): asked}))
        with bootstrap.open_store(settings) as store:

            def left() -> list[str]:
                return scratch(store.get_indexes()) if url else [path.name for path in temporary.glob("qa-app-*/*")]

            process = subprocess.Popen(
                [sys.executable, "-m", "qa_app", "evaluate", "pipeline", "long.json"],
                cwd=shell.folder,
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
            with process:
                waited(lambda: bool(left()), process)
                process.send_signal(signal.SIGINT)
                _, said = process.communicate(timeout=120)
            assert process.returncode == 130, said
            assert "Traceback" not in said
            assert left() == []
            assert not list(temporary.glob("qa-app-*"))


def scratch(indexes: list[str]) -> list[str]:
    return [name for name in indexes if name.startswith("evaluation-") and name != "evaluation-neighbour"]


def waited(until: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Returns when ``until`` holds; fails where the process ends before."""
    while not until():
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.05)


def test_progress_tells_the_time_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no terminal a line every few seconds says how many are done and how long the rest takes."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Progress(100, "questions") as progress:
        for _ in range(12):
            now[0] += 1
            progress.advance("Who?")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "6 questions so far of 100, about 2 min left"
    assert lines[1] == "12 questions so far of 100, about 88 s left"


@pytest.fixture
def browser() -> Any:
    missing = chromium.missing()
    if missing:
        if os.environ.get("QA_TEST_REQUIRE_CHROMIUM"):
            pytest.fail(f"tests in a browser are required, but {missing}")
        pytest.skip(missing)
    with sync_playwright() as playwright:
        yield chromium.launch(playwright)


@pytest.mark.browser
@pytest.mark.parametrize("look", ["light", "dark", "narrow"])
def test_the_report_in_a_browser(browser: Browser, tmp_path: Path, look: str) -> None:
    """axe-core finds nothing to object to, nothing is asked of any address, and nothing scrolls sideways."""
    from tests.unit.evaluation.test_report import made

    path = tmp_path / "report.html"
    path.write_text(made(), encoding="utf-8")
    width = 390 if look == "narrow" else 1280
    scheme = "dark" if look == "dark" else "light"
    # The page forbids scripts, axe-core's too.
    context = browser.new_context(bypass_csp=True, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(path.as_uri())
    assert asked == [path.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate(chromium.axe(tmp_path))
    found = page.evaluate("axe.run().then(result => result.violations.map(rule => rule.id + rule.nodes[0].html))")
    assert found == []
    assert said == []
