"""Every engine gives the answers that PyTorch gives, alone or in company, and stops at its deadline."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from haystack.nodes import FARMReader
from haystack.schema import Document
from numpy.typing import NDArray
from transformers import DistilBertConfig, DistilBertForQuestionAnswering, RobertaConfig, RobertaForQuestionAnswering

from qa_app.errors import DeadlineError, ModelError, SettingsError
from qa_app.reading import conversion
from qa_app.reading.choice import CONVERTED
from qa_app.reading.deadline import deadline
from qa_app.reading.openvino_engine import OpenVinoEngine, has_bf16
from qa_app.reading.pairs import PairReader
from qa_app.reading.reader import PassageReader
from qa_app.reading.resolution import BUNDLED_FOLDER
from qa_app.reading.windows import Window, windows_of
from tests.conftest import REPOSITORY
from tests.unit.reading.tiny import edit_json, save_model, save_random_reader

pytestmark = pytest.mark.reader

QUESTION = "Who built the tower?"
TOWER = Document(content="The tower was built by Anna Berg in 1904. It is made of iron.", id="t")


def _available() -> list[str]:
    """The converted engines that this processor can run."""
    return [name for name in CONVERTED if has_bf16() or name != "openvino-bf16"]


@pytest.fixture(scope="module")
def asked() -> list[tuple[str, list[Document]]]:
    """Questions of the samples, each with the paragraphs of its article."""
    found = []
    for article in json.loads((REPOSITORY / "samples" / "questions.json").read_text(encoding="utf-8"))["data"]:
        texts = [
            Document(content=paragraph["context"], id=f"{article['title']}-{n}")
            for n, paragraph in enumerate(article["paragraphs"])
        ]
        found.append((article["paragraphs"][0]["qas"][0]["question"], texts[:6]))
    return found[:24]


@pytest.fixture(scope="module")
def readers() -> dict[str, PassageReader]:
    """The bundled reader with each engine."""
    return {name: PassageReader("bundled", engine=name) for name in ("torch", *_available())}


def windows(reader: PassageReader, question: str, documents: Sequence[Document]) -> list[Window]:
    dicts = [{"text": document.content, "questions": [question], "id": document.id} for document in documents]
    return windows_of(reader.inferencer.processor, dicts)[0]


class TestAnswers:
    """The same words as stock FARMReader, by its own measure: raw scores."""

    @pytest.fixture(scope="class")
    def stock(self) -> FARMReader:
        return FARMReader(str(BUNDLED_FOLDER), use_confidence_scores=False, return_no_answer=True, progress_bar=False)

    @pytest.mark.parametrize("name", ["torch", "openvino"])
    def test_the_same_as_farmreader(
        self, name: str, readers: dict[str, PassageReader], stock: FARMReader, asked: list[tuple[str, list[Document]]]
    ) -> None:
        """Without quantisation all answers to all questions are FARMReader's, in its order, with its raw scores."""
        reader = PassageReader("bundled", engine=name)
        reader.use_confidence_scores = False
        reader.inferencer.model.prediction_heads[0].use_confidence_scores_for_ranking = False
        for question, documents in asked:
            expected = stock.predict(question, documents, top_k=3)["answers"]
            found = FARMReader.predict(reader, question, documents, top_k=3)["answers"]
            assert [(a.answer, a.document_ids) for a in found] == [(a.answer, a.document_ids) for a in expected]
            assert [a.score for a in found] == pytest.approx([a.score for a in expected], abs=1e-3)

    @pytest.mark.parametrize("name", _available())
    def test_nearly_the_same_scores(
        self, name: str, readers: dict[str, PassageReader], asked: list[tuple[str, list[Document]]]
    ) -> None:
        """A converted engine's scores are PyTorch's, but for the numbers that it rounds."""
        reference, engine = readers["torch"].inferencer.engine, readers[name].inferencer.engine
        assert engine.name == name
        differences = []
        for question, documents in asked:
            some = windows(readers["torch"], question, documents)
            for expected, found, window in zip(reference.logits(some), engine.logits(some), some):
                assert found.shape == expected.shape == (len(window), 2)
                differences.append(np.abs(found - expected).mean())
        assert np.mean(differences) < {"openvino": 1e-4, "openvino-bf16": 0.05, "openvino-int8": 0.25}[name]

    @pytest.mark.parametrize("name", ["torch", *_available()])
    def test_company_changes_nothing(self, name: str, readers: dict[str, PassageReader]) -> None:
        """A window read with shorter and longer ones has the scores, and the part in confidence, as alone."""
        engine = readers[name].inferencer.engine
        texts = [Document(content=TOWER.content * n, id=str(n)) for n in (1, 2, 5, 3, 8, 1, 13)]
        together = windows(readers[name], QUESTION, texts)
        for window, scores in zip(together, engine.logits(together)):
            [alone] = engine.logits([window])
            assert np.abs(alone - scores).max() < {"torch": 1e-4, "openvino": 1e-4}.get(name, 0.35)
        first = Document(content=TOWER.content, id="t", score=0.9)
        alone = [one.margin for one in readers[name].pool(QUESTION, [first]).candidates]
        company = [one.margin for one in readers[name].pool(QUESTION, [*texts, first]).candidates if one.lead == 0]
        assert company == pytest.approx(alone, abs=1e-3 if name in ("torch", "openvino") else 0.5)

    def test_the_window_changes_no_confidence(self) -> None:
        """The room that a short passage leaves in its window has no part in its confidence."""
        scores = [
            PassageReader("bundled", engine="torch", max_seq_len=tokens, doc_stride=30).predict(QUESTION, [TOWER])
            for tokens in (128, 384)
        ]
        first, second = (result["answers"][0] for result in scores)
        assert (first.answer, second.answer) == ("Anna Berg", "Anna Berg")
        assert first.score == pytest.approx(second.score, abs=1e-5)

    def test_no_windows(self, readers: dict[str, PassageReader]) -> None:
        """Nothing to read is nothing read."""
        for reader in readers.values():
            assert reader.inferencer.engine.logits([]) == []


class TestDoubt:
    """What OpenVINO reads in a batch of a new shape is not believed before it was read twice."""

    @pytest.fixture
    def engine(self, readers: dict[str, PassageReader], monkeypatch: pytest.MonkeyPatch) -> OpenVinoEngine:
        """An engine that has seen no shapes."""
        engine = readers["openvino"].inferencer.engine
        assert isinstance(engine, OpenVinoEngine)
        monkeypatch.setattr(engine, "_agreed", Counter())
        return engine

    @pytest.mark.parametrize("wrong", [{0}, {1}, {0, 1}, {3}, {0, 4}])
    def test_a_wrong_reading_is_read_again(
        self,
        engine: OpenVinoEngine,
        readers: dict[str, PassageReader],
        wrong: set[int],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Wherever one batch comes out wrong at first, the scores are the true ones."""
        some = windows(readers["openvino"], QUESTION, [Document(content=TOWER.content * n, id=str(n)) for n in (1, 3)])
        expected = readers["torch"].inferencer.engine.logits(some)
        real, count, noise = OpenVinoEngine._read, itertools.count(), np.random.default_rng(0)

        def read(*arguments: Any) -> list[NDArray[np.float32]]:
            return [scores + noise.random(scores.shape) * (next(count) in wrong) for scores in real(*arguments)]

        monkeypatch.setattr(OpenVinoEngine, "_read", read)
        for found, true in zip(engine.logits(some), expected):
            assert np.abs(found - true).max() < 1e-3

    def test_no_agreement(
        self, engine: OpenVinoEngine, readers: dict[str, PassageReader], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Readings that differ each time are an error."""
        real, count = OpenVinoEngine._read, itertools.count()
        monkeypatch.setattr(
            OpenVinoEngine, "_read", lambda *arguments: [scores + next(count) for scores in real(*arguments)]
        )
        with pytest.raises(ModelError, match="differently each time"):
            engine.logits(windows(readers["openvino"], QUESTION, [TOWER]))

    def test_a_known_shape_is_read_once(self, engine: OpenVinoEngine, readers: dict[str, PassageReader]) -> None:
        """After as many agreements as there are streams, of which each has its own kernels."""
        some = windows(readers["openvino"], QUESTION, [TOWER])
        for _ in range(20):
            engine.logits(some)
        assert set(engine._agreed.values()) == {engine._streams}


class TestDeadline:
    """Asked before every batch."""

    @pytest.mark.parametrize("name", _available())
    def test_late(self, name: str, readers: dict[str, PassageReader]) -> None:
        """Reading ends with DeadlineError, also pairs, and the next reading is answered."""
        reader = readers[name]
        pairs = PairReader(reader)
        with deadline(time.monotonic()):
            with pytest.raises(DeadlineError):
                reader.predict(QUESTION, [TOWER])
            with pytest.raises(DeadlineError):
                pairs.predict([(QUESTION, TOWER.content)])
        assert reader.predict(QUESTION, [TOWER])["answers"][0].answer == "Anna Berg"
        assert pairs.predict([(QUESTION, TOWER.content)])[0].answer == "Anna Berg"


def counted(caplog: pytest.LogCaptureFixture) -> int:
    """How many conversions were begun since the last count."""
    number = sum("preparing the reader" in record.message for record in caplog.records)
    caplog.clear()
    return number


class TestConversion:
    """Once for each model, and never half."""

    @pytest.fixture
    def model(self, tmp_path: Path) -> str:
        return str(save_random_reader(tmp_path / "model", BUNDLED_FOLDER))

    @pytest.fixture
    def read(self, model: str, tmp_path: Path) -> Callable[[], list[str]]:
        def read() -> list[str]:
            reader = PassageReader(model, engine="openvino", engine_cache=str(tmp_path / "engines"))
            assert reader.inferencer.engine.name == "openvino"
            return [answer.answer for answer in reader.predict(QUESTION, [TOWER])["answers"]]

        return read

    def test_once(self, read: Callable[[], list[str]], model: str, caplog: pytest.LogCaptureFixture) -> None:
        """A second reader converts nothing; another model under the same name is converted by itself."""
        first = read()
        assert counted(caplog) == 1
        assert read() == first
        assert counted(caplog) == 0
        torch.manual_seed(8)
        edit_json(Path(model) / "config.json", lambda config: config.update(layer_norm_eps=1e-3))
        read()
        assert counted(caplog) == 1

    def test_damaged(self, read: Callable[[], list[str]], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A file that was cut, changed or lost is made again, and the answers are the same."""
        first = read()
        for damage in (
            lambda path: path.write_bytes(path.read_bytes()[:-5]),
            lambda path: path.write_bytes(bytes(len(path.read_bytes()))),
            lambda path: path.unlink(),
        ):
            for name in ("model.bin", "model.xml", "conversion.json"):
                [place] = (tmp_path / "engines").glob("*-float")
                damage(place / name)
                counted(caplog)
                assert read() == first
                assert counted(caplog) == 1

    def test_unused(self, read: Callable[[], list[str]], tmp_path: Path) -> None:
        """A conversion that nobody used for a month makes room for a new one; others stay."""
        read()
        [old] = (tmp_path / "engines").glob("*-float")
        os.utime(old, (0, 0))
        # In float32: the nearly equal scores of a drawn model come out otherwise in int8, on some processors.
        PassageReader(str(save_model(tmp_path / "other")), engine="openvino", engine_cache=str(tmp_path / "engines"))
        [new] = (tmp_path / "engines").glob("*/")
        assert new != old
        read()
        assert len(list((tmp_path / "engines").glob("*/"))) == 2

    def test_two_at_once(self, model: str, tmp_path: Path) -> None:
        """Of two processes that start together one converts, and both answer."""
        code = (
            "import sys; from qa_app.reading.reader import PassageReader; from haystack.schema import Document\n"
            "reader = PassageReader(sys.argv[1], engine='openvino', engine_cache=sys.argv[2])\n"
            "print(len(reader.predict('Who?', [Document(content='It was Anna.', id='d')])['answers']))"
        )
        both = [
            subprocess.Popen(
                [sys.executable, "-c", code, model, str(tmp_path / "engines")],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        done = [process.communicate(timeout=120) for process in both]
        assert all(int(out) > 0 for out, _ in done), done
        assert "".join(err for _, err in done).count("preparing the reader") == 1

    def test_killed(self, read: Callable[[], list[str]], model: str, tmp_path: Path) -> None:
        """A process that is killed while it converts leaves nothing that is used, and no lock."""
        code = (
            "import os, signal, sys\n"
            "from qa_app.reading import conversion\n"
            "conversion.sha256_of, real = (lambda path: path.suffix == '.bin' and os.kill(os.getpid(), signal.SIGKILL) "
            "or real(path)), conversion.sha256_of\n"
            "from qa_app.reading.reader import PassageReader\n"
            "PassageReader(sys.argv[1], engine='openvino', engine_cache=sys.argv[2])"
        )
        killed = subprocess.run(
            [sys.executable, "-c", code, model, str(tmp_path / "engines")], capture_output=True, check=False
        )
        assert killed.returncode == -9
        assert [path.name for path in (tmp_path / "engines").iterdir() if path.suffix == ".part"]
        assert read()
        assert not [path.name for path in (tmp_path / "engines").iterdir() if path.suffix == ".part"]

    def test_a_cache_that_cannot_be_written(self, model: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """The reader is converted for this process alone, and says so."""
        (tmp_path / "engines").write_text("a file")
        reader = PassageReader(model, engine="openvino", engine_cache=str(tmp_path / "engines"))
        assert reader.inferencer.engine.name == "openvino"
        assert reader.predict(QUESTION, [TOWER])["answers"]
        assert "converted anew each time" in caplog.text

    def test_other_architectures(self, tmp_path: Path) -> None:
        """Models without segments, and with positions of their own, give PyTorch's scores too."""
        rows = json.loads((BUNDLED_FOLDER / "config.json").read_text())["vocab_size"]
        sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
        roberta = RobertaForQuestionAnswering(
            RobertaConfig(vocab_size=rows, type_vocab_size=2, pad_token_id=0, **sizes)
        )
        distilbert = DistilBertForQuestionAnswering(
            DistilBertConfig(vocab_size=rows, dim=16, n_layers=2, n_heads=2, hidden_dim=32)
        )
        for name, model in (("roberta", roberta), ("distilbert", distilbert)):
            folder = save_random_reader(tmp_path / name, BUNDLED_FOLDER)
            model.save_pretrained(folder)
            readers = [
                PassageReader(str(folder), engine=engine, engine_cache=str(tmp_path / "engines"))
                for engine in ("torch", "openvino")
            ]
            some = windows(readers[0], QUESTION, [TOWER])
            [expected], [found] = (reader.inferencer.engine.logits(some) for reader in readers)
            assert found == pytest.approx(expected, abs=1e-4)


class TestChoice:
    """What ``auto`` is."""

    def test_the_fastest(self, tmp_path: Path) -> None:
        """On a processor the quantised reader, where it gives PyTorch's answers."""
        if torch.cuda.is_available():
            assert PassageReader("bundled").inferencer.engine.name == "torch"
        assert PassageReader("bundled", use_gpu=False).inferencer.engine.name == "openvino-int8"

    def test_one_that_does_not_agree(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Conversions that do not give PyTorch's answers are not used; the choice falls on the next."""
        model = str(save_model(tmp_path / "model"))
        real = conversion.quantize

        def wrong(converted: object) -> None:
            from openvino import opset13

            for node in converted.get_ordered_ops():  # type: ignore[attr-defined]
                if node.get_type_name() == "MatMul":
                    negative = opset13.multiply(node.output(0), opset13.constant(np.float32(-1)))
                    for target in node.output(0).get_target_inputs():
                        if target.get_node() != negative.output(0).get_node():
                            target.replace_source_output(negative.output(0))
            real(converted)  # type: ignore[arg-type]

        monkeypatch.setattr(conversion, "quantize", wrong)
        for expected in (1, 0):  # the second time it is there
            reader = PassageReader(model, engine="auto", engine_cache=str(tmp_path / "engines"), use_gpu=False)
            assert reader.inferencer.engine.name == _available()[1]
            assert sum("int8), once" in record.message for record in caplog.records) == expected
            assert "does not give its answers" in caplog.text
            caplog.clear()
        with pytest.raises(ModelError, match="agreement"):
            PassageReader(model, engine="openvino-int8", engine_cache=str(tmp_path / "engines"))

    def test_without_bf16(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the processor has no bf16 the quantised reader computes in f32, and bf16 by name is refused."""
        monkeypatch.setattr(conversion, "has_bf16", lambda: False)
        model, cached = str(save_model(tmp_path / "model")), str(tmp_path / "engines")
        reader = PassageReader(model, engine="auto", engine_cache=cached, use_gpu=False)
        assert reader.engine == "openvino-int8"
        assert reader.predict(QUESTION, [TOWER])["answers"]
        with pytest.raises(ModelError, match="no bf16"):
            PassageReader(model, engine="openvino-bf16", engine_cache=cached)

    def test_without_openvino(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """``auto`` is PyTorch then, and what was asked for by name says how to install it."""
        model = str(save_model(tmp_path / "model"))
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None)
        assert PassageReader(model, engine="auto").inferencer.engine.name == "torch"
        with pytest.raises(SettingsError, match=r"pip install qa_app\[openvino\]"):
            PassageReader(model, engine="openvino")


def test_nothing_is_reported() -> None:
    """OpenVINO's usage reports are not even loaded, and nothing is connected to."""
    code = (
        "import sys\n"
        "sys.addaudithook(lambda event, arguments: print(event) if event == 'socket.connect' else None)\n"
        "import qa_app.reading.conversion, time; time.sleep(1)\n"
        "print(sorted(name for name in sys.modules if name.startswith('openvino_telemetry') and sys.modules[name]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
