"""Models that are missing, damaged, hostile or of two minds: each ends as ModelError, and none answers nonsense."""

from __future__ import annotations

import json
import math
import os
import pickle
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from haystack.schema import Document
from safetensors.torch import load_file
from transformers import BertForQuestionAnswering

from qa_app.errors import ModelError, SettingsError
from qa_app.reading.model_files import check_model
from qa_app.reading.reader import PassageReader
from qa_app.reading.resolution import BUNDLED_FOLDER
from tests.faults.table import Figure
from tests.unit.reading.tiny import edit_header, edit_json, edit_weights, save_masked_model, save_model

DOCUMENT = Document(content="The tower was built by Anna Berg in 1904. It is made of iron.", id="d")
QUESTION = "Who built the tower?"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole small model; not to be changed."""
    return save_model(tmp_path_factory.mktemp("whole") / "model")


@pytest.fixture
def model(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "model"))


def refused(folder: Path) -> str:
    """The message of the ModelError that loading ``folder`` ends in; it names the folder and fits a terminal."""
    with pytest.raises(ModelError) as caught:
        PassageReader(str(folder))
    message = str(caught.value)
    assert str(folder) in message
    assert len(message) < 1000
    return message


class TestWhole:
    """What loads is what was saved."""

    def test_a_whole_model_reads(self, whole: Path) -> None:
        """A model of random weights gives answers that are words of the document."""
        reader = PassageReader(str(whole))
        assert reader.notice is None
        answers = reader.predict(QUESTION, [DOCUMENT])["answers"]
        assert answers
        assert all(answer.answer in DOCUMENT.content for answer in answers)

    def test_every_weight_is_the_files(self, whole: Path) -> None:
        """Not one number of the loaded reader is anything but the file's."""
        reader = PassageReader(str(whole), engine="torch")
        saved = load_file(whole / "model.safetensors")
        loaded = {
            f"bert.{name}": value for name, value in reader.inferencer.model.language_model.model.state_dict().items()
        }
        head = reader.inferencer.model.prediction_heads[0].feed_forward.feed_forward[0]
        loaded |= {f"qa_outputs.{name}": value for name, value in head.state_dict().items()}
        assert set(saved) <= set(loaded)
        assert all("pooler" in name for name in set(loaded) - set(saved))
        for name, value in saved.items():
            assert torch.equal(loaded[name], value), name

    @pytest.mark.parametrize(
        "options", [{"safe_serialization": False}, {"max_shard_size": "20KB"}], ids=["bin", "shards"]
    )
    def test_other_forms_of_the_same_weights_read_alike(
        self, whole: Path, tmp_path: Path, options: dict[str, object]
    ) -> None:
        """Weights in a torch file or in shards give the answers that one safetensors file gives."""
        other = save_model(tmp_path / "other", **options)
        assert not (other / "model.safetensors").exists()
        expected, answers = (
            [(a.answer, a.score) for a in PassageReader(str(folder)).predict(QUESTION, [DOCUMENT])["answers"]]
            for folder in (whole, other)
        )
        assert answers == expected


@pytest.mark.case("M1")
class TestMissing:
    """Files that are not there."""

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        """The bundled reader is named as the way out."""
        assert "bundled" in refused(tmp_path / "nowhere")

    def test_a_configuration_alone(self, model: Path) -> None:
        """What an interrupted copy leaves is not a model."""
        for path in model.iterdir():
            if path.name != "config.json":
                path.unlink()
        assert "copy the model again" in refused(model)

    @pytest.mark.parametrize(
        ("names", "word"),
        [
            (["config.json"], "config.json"),
            (["model.safetensors"], "weights"),
            (["tokenizer.json", "vocab.txt"], "tokenizer"),
        ],
    )
    def test_a_part_that_is_not_there(self, model: Path, names: list[str], word: str) -> None:
        """The missing part is named."""
        for name in names:
            (model / name).unlink()
        assert word in refused(model)


@pytest.mark.case("M2")
class TestDamaged:
    """Files that are not what was saved."""

    def test_weights_cut_anywhere(self, model: Path) -> None:
        """A safetensors file that breaks off is refused wherever it does, and so is one with something behind it."""
        weights = model / "model.safetensors"
        content = weights.read_bytes()
        (header,) = struct.unpack("<Q", content[:8])
        points = {0, 1, 7, 8, 9, header, header + 7, header + 8, header + 9, len(content) - 1}
        points |= set(range(0, len(content), len(content) // 60))
        for point in sorted(points):
            weights.write_bytes(content[:point])
            with pytest.raises(ModelError, match="cut or damaged"):
                check_model(model)
        weights.write_bytes(content + b"\0")
        assert "cut or damaged" in refused(model)

    @pytest.mark.parametrize("length", [0, 1, 2**31, 2**62, 2**64 - 1])
    def test_an_impossible_header_length(self, model: Path, length: int) -> None:
        """The length that the file claims for its header reserves no memory."""
        weights = model / "model.safetensors"
        weights.write_bytes(struct.pack("<Q", length) + weights.read_bytes()[8:])
        assert "cut or damaged" in refused(model)

    @pytest.mark.parametrize("seed", range(25))
    def test_a_flipped_bit_in_the_header(self, model: Path, seed: int) -> None:
        """A header with one bit wrong names other tensors, places or kinds, and is never loaded."""
        weights = model / "model.safetensors"
        content = bytearray(weights.read_bytes())
        (header,) = struct.unpack("<Q", content[:8])
        dice = random.Random(seed)
        content[dice.randrange(8 + header)] ^= 1 << dice.randrange(8)
        weights.write_bytes(content)
        refused(model)

    @pytest.mark.parametrize(
        "change",
        [
            lambda header: header["qa_outputs.weight"].update(shape=[-2, -16]),
            lambda header: header["qa_outputs.weight"].update(data_offsets=[0, 2**62]),
            lambda header: header["qa_outputs.weight"].update(data_offsets="all"),
            lambda header: header["qa_outputs.weight"].update(dtype="F33"),
            lambda header: header["qa_outputs.weight"].update(shape=[[2], 16]),
            lambda header: header.update({"qa_outputs.weight": None}),
            lambda header: header.clear(),
        ],
    )
    def test_a_header_that_lies(self, model: Path, change: Callable[[dict[str, object]], object]) -> None:
        """Shapes, places and kinds that do not fit the data are refused."""
        edit_header(model, change)
        refused(model)

    @pytest.mark.parametrize("name", ["tokenizer.json", "vocab.txt", "tokenizer_config.json", "config.json"])
    def test_an_empty_or_garbled_small_file(self, model: Path, name: str) -> None:
        """A configuration or a tokenizer of noise is an error, whichever library meets it."""
        if name == "vocab.txt":
            (model / "tokenizer.json").unlink()  # It would be taken before vocab.txt.
        for content in (b"", b"one\n", bytes(range(256)) * 20):
            (model / name).write_bytes(content)
            refused(model)

    def test_one_flipped_bit_in_a_copy_of_the_bundled_reader(self, tmp_path: Path) -> None:
        """The reader that ships is checked against its sums before it is loaded."""
        folder = tmp_path / "copy"
        folder.mkdir()
        for path in BUNDLED_FOLDER.iterdir():
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
        weights = bytearray((folder / "model.safetensors").read_bytes())
        weights[-1000] ^= 4
        (folder / "model.safetensors").write_bytes(weights)
        assert "checksum mismatch" in refused(folder)

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_weights_that_are_not_numbers(self, model: Path, value: float) -> None:
        """One NaN or infinity among the weights would make every score one."""

        def change(tensors: dict[str, torch.Tensor]) -> None:
            tensors["bert.encoder.layer.1.output.dense.weight"][3, 3] = value

        edit_weights(model, change)
        assert "not numbers" in refused(model)


@pytest.mark.case("M5")
class TestUnfit:
    """Whole files that make no reader; transformers would fill the gaps with random numbers."""

    def test_a_language_model_is_no_reader(self, tmp_path: Path) -> None:
        """A model that fills gaps is named for what it is."""
        assert "BertForMaskedLM" in refused(save_masked_model(tmp_path / "model"))

    def test_a_language_model_that_claims_to_be_a_reader(self, tmp_path: Path) -> None:
        """The weights decide, whatever the configuration says."""
        folder = save_masked_model(tmp_path / "model")
        edit_json(folder / "config.json", lambda config: config.update(architectures=["BertForQuestionAnswering"]))
        assert "head" in refused(folder)

    def test_the_same_in_a_torch_file(self, tmp_path: Path) -> None:
        """A head that is missing from a torch file is found when it is loaded."""
        folder = save_masked_model(tmp_path / "model")
        tensors = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        torch.save(tensors, folder / "pytorch_model.bin")
        edit_json(folder / "config.json", lambda config: config.update(architectures=["BertForQuestionAnswering"]))
        assert "qa_outputs" in refused(folder)

    @pytest.mark.parametrize(
        "name",
        [
            "qa_outputs.weight",
            "qa_outputs.bias",
            "bert.embeddings.word_embeddings.weight",
            "bert.encoder.layer.1.attention.self.query.weight",
            "bert.encoder.layer.0.output.LayerNorm.bias",
        ],
    )
    def test_a_missing_tensor_is_never_made_up(self, model: Path, name: str) -> None:
        """A single tensor that is not in the file is named, and not initialised in silence."""
        edit_weights(model, lambda tensors: tensors.pop(name))
        assert name in refused(model)

    def test_more_layers_than_weights(self, model: Path) -> None:
        """A configuration of more layers than the file holds is found."""
        edit_json(model / "config.json", lambda config: config.update(num_hidden_layers=3))
        assert "layer.2" in refused(model)

    @pytest.mark.parametrize("entry", [{"hidden_size": 32}, {"vocab_size": 200}, {"max_position_embeddings": 100}])
    def test_weights_of_another_shape(self, model: Path, entry: dict[str, int]) -> None:
        """A configuration that does not fit the weights is refused."""
        edit_json(model / "config.json", lambda config: config.update(entry))
        refused(model)

    @pytest.mark.parametrize("entry", [{"model_type": "unheard-of"}, {"model_type": "t5"}, {"hidden_act": "none"}])
    def test_a_kind_of_model_that_is_not_known(self, model: Path, entry: dict[str, str]) -> None:
        """An unknown kind of model or activation is an error of ours."""
        edit_json(model / "config.json", lambda config: config.update(entry))
        refused(model)

    def test_a_tokenizer_of_another_model(self, model: Path) -> None:
        """A tokenizer that knows more words than the model has rows would read past the end of them."""
        for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            shutil.copyfile(BUNDLED_FOLDER / name, model / name)
        message = refused(model)
        assert "30522" in message
        assert "two models" in message


class Canary:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


class TestHostile:
    """Models that would run code."""

    @pytest.mark.case("M2")
    @pytest.mark.parametrize("form", ["pickle", "zip"])
    def test_code_in_a_pickle_never_runs(self, model: Path, tmp_path: Path, form: str) -> None:
        """Weights of torch's old or new format that carry code are refused unread."""
        canary = tmp_path / "canary"
        (model / "model.safetensors").unlink()
        weights = model / "pytorch_model.bin"
        if form == "pickle":
            weights.write_bytes(pickle.dumps({"qa_outputs.weight": Canary(canary)}))
        else:
            torch.save({"qa_outputs.weight": Canary(canary)}, weights)
        message = refused(model)
        assert "cannot be loaded" in message
        assert not canary.exists()
        pickle.loads(pickle.dumps(Canary(canary)))
        assert canary.exists(), "the canary would not have sung, so its silence proves nothing"

    def test_a_pickle_beside_sound_weights_is_not_opened(self, model: Path, tmp_path: Path) -> None:
        """Safetensors are taken where there are any."""
        canary = tmp_path / "canary"
        torch.save({"qa_outputs.weight": Canary(canary)}, model / "pytorch_model.bin")
        assert PassageReader(str(model)).predict(QUESTION, [DOCUMENT])["answers"]
        assert not canary.exists()

    @pytest.mark.parametrize("name", ["language_model.bin", "model.onnx"])
    def test_haystacks_own_formats_are_not_opened(self, model: Path, tmp_path: Path, name: str) -> None:
        """Haystack would take these files for the model, whatever they are."""
        canary = tmp_path / "canary"
        torch.save({"weight": Canary(canary)}, model / name)
        assert name in refused(model)
        assert not canary.exists()

    @pytest.mark.case("M3")
    @pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
    @pytest.mark.parametrize(
        "entry",
        [
            {"auto_map": {"AutoConfig": "evil.Evil", "AutoTokenizer": ["evil.Evil", None], "AutoModel": "evil.Evil"}},
            {"trust_remote_code": True},
            {"_attn_implementation": "somebody/kernel"},
            {"_attn_implementation_internal": "somebody/kernel"},
        ],
        ids=lambda entry: next(iter(entry)),
    )
    def test_code_in_the_folder_never_runs(
        self, model: Path, tmp_path: Path, name: str, entry: dict[str, object]
    ) -> None:
        """A configuration that names code is refused, and the code beside it is not imported."""
        canary = tmp_path / "canary"
        (model / "evil.py").write_text(f"open({str(canary)!r}, 'w').close()\n")
        edit_json(model / name, lambda config: config.update(entry))
        assert "could run code" in refused(model)
        assert not canary.exists()


@pytest.mark.case("M6")
class TestWindows:
    """Sizes that the reader cannot take."""

    @pytest.mark.parametrize("max_seq_len", [513, 100_000])
    def test_more_tokens_than_the_model_has_places_for(self, whole: Path, max_seq_len: int) -> None:
        """A window over the model's limit is a wrong setting, said at the start and not at the first question."""
        with pytest.raises(SettingsError, match="512"):
            PassageReader(str(whole), max_seq_len=max_seq_len)

    def test_more_tokens_than_the_tokenizer_allows(self, model: Path) -> None:
        """The tokenizer's limit counts as well."""
        edit_json(model / "tokenizer_config.json", lambda config: config.update(model_max_length=128))
        with pytest.raises(SettingsError, match="128"):
            PassageReader(str(model))

    @pytest.mark.parametrize(
        ("max_seq_len", "doc_stride"), [(256, 0), (256, -1), (256, 256), (256, 1000), (256, 189), (64, 1), (0, 0)]
    )
    def test_windows_that_leave_gaps(self, whole: Path, max_seq_len: int, doc_stride: int) -> None:
        """Windows that step further than they reach would leave words unread."""
        with pytest.raises(SettingsError, match="doc_stride"):
            PassageReader(str(whole), max_seq_len=max_seq_len, doc_stride=doc_stride)

    def test_the_widest_step_leaves_no_gap(self, whole: Path) -> None:
        """With the longest question, each window still begins where the one before ended, or sooner."""
        reader = PassageReader(str(whole), max_seq_len=256, doc_stride=188)
        processor = reader.inferencer.processor
        reach = 256 - processor.max_query_length - processor.tokenizer.num_special_tokens_to_add(pair=True)
        assert processor.doc_stride <= reach
        text = Document(content="x " * 600, id="x")
        assert reader.predict("y " * 100, [text])["answers"]

    def test_an_engine_that_is_not_known(self, whole: Path) -> None:
        """The engines that there are are named."""
        with pytest.raises(SettingsError, match="torch"):
            PassageReader(str(whole), engine="steam")


@pytest.fixture(scope="module")
def reader() -> PassageReader:
    """The bundled reader, with windows half as wide as usual, which are read twice as fast."""
    return PassageReader("bundled", engine="openvino", max_seq_len=128, doc_stride=60)


@pytest.mark.case("M9")
@pytest.mark.reader
class TestSteadiness:
    """The same question gets the same answers."""

    def asked(self, reader: PassageReader) -> list[tuple[str, str | None, float]]:
        documents = [
            DOCUMENT,
            Document(content="The bridge was built by Carl Holm in 1950. It is made of stone.", id="e"),
            Document(content="Nothing here tells who. " * 25 + "It was Dora Lind.", id="f"),
        ]
        return [
            (answer.answer, (answer.document_ids or [None])[0], answer.score)
            for answer in reader.predict(QUESTION, documents, top_k=5)["answers"]
        ]

    def test_always_the_same(self, reader: PassageReader, long: bool, figure: Figure) -> None:
        """Spans and scores do not depend on when the question is asked."""
        first = self.asked(reader)
        assert first[0][0] == "Anna Berg"
        times = 100 if long else 20
        assert [self.asked(reader) for _ in range(times)] == [first] * times
        figure("times the same answers", times)

    @pytest.mark.parametrize("engine", ["torch", "openvino"])
    def test_the_same_on_any_number_of_threads(self, engine: str, figure: Figure) -> None:
        """Threads change the order of sums only: same spans, scores within 1e-5, and all of them numbers."""
        threads = torch.get_num_threads()
        try:
            results = []
            for number in (1, 8):
                torch.set_num_threads(number)
                results.append(self.asked(PassageReader("bundled", engine=engine, max_seq_len=128, doc_stride=60)))
        finally:
            torch.set_num_threads(threads)
        one, eight = results
        assert [(answer, document) for answer, document, _ in one] == [
            (answer, document) for answer, document, _ in eight
        ]
        assert all(math.isfinite(score) for _, _, score in one)
        apart = max(abs(first - second) for (_, _, first), (_, _, second) in zip(one, eight))
        figure(f"largest difference of scores, 1 and 8 threads, {engine}", f"{apart:.1e}")
        assert apart < 1e-5


_FORKED = """
import os, sys
from haystack.schema import Document
from qa_app.errors import ModelError
from qa_app.reading.reader import PassageReader
def answer(reader):
    try:
        return (reader or PassageReader("bundled", engine=sys.argv[1])).predict(
            "Who built the tower?", [Document(content="The tower was built by Anna Berg.", id="t")]
        )["answers"][0].answer
    except ModelError as error:
        return str(error)
def in_a_fork(reader):
    read, write = os.pipe()
    if not os.fork():
        os.write(write, answer(reader).encode())
        os._exit(0)
    os.close(write)
    return os.fdopen(read).read()
print(in_a_fork(None))
reader = PassageReader("bundled", engine=sys.argv[1])
for given in (reader, None):
    print(in_a_fork(given))
print(answer(reader))
"""


@pytest.mark.case("M8")
@pytest.mark.reader
@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_a_fork_reads_or_says_why_it_cannot(engine: str) -> None:
    """A fork opens a reader of its own; where one was open before the fork it says so, and does not hang."""
    done = subprocess.run(
        [sys.executable, "-c", _FORKED, engine], capture_output=True, text=True, timeout=300, check=True
    )
    first, used, anew, after = done.stdout.splitlines()
    assert (first, after) == ("Anna Berg", "Anna Berg")
    assert "spawn" in used
    assert "spawn" in anew


_WITHOUT_NETWORK = """
import sys
def spy(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        address = arguments[1] if event == "socket.connect" else arguments[0]
        print("CONNECTED", event, address, flush=True)
sys.addaudithook(spy)
from haystack.schema import Document
from qa_app.reading.reader import PassageReader
for model in sys.argv[1:]:
    reader = PassageReader(model)
    answers = reader.predict("Who built it?", [Document(content="It was built by Anna Berg.", id="d")])["answers"]
    print(bool(reader.notice), len(answers) > 0, flush=True)
"""


@pytest.mark.case("M4")
@pytest.mark.reader
def test_a_start_without_a_network(whole: Path, tmp_path: Path) -> None:
    """Offline, a folder, the bundled reader and a name that is not on this machine all answer, and nobody is called."""
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "home"),
        "HOME": str(tmp_path / "home"),
    }
    process = subprocess.run(
        [sys.executable, "-c", "import qa_app\n" + _WITHOUT_NETWORK, str(whole), "bundled", "team/somewhere-else"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    assert process.stdout.split("\n")[:-1] == ["False True", "False True", "True True"]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of commands over an index of one small text."""
    folder = tmp_path_factory.mktemp("indexed")
    (folder / "texts").mkdir()
    (folder / "texts" / "tower.txt").write_text(DOCUMENT.content)
    own = {key: value for key, value in os.environ.items() if not key.startswith("QA_")}
    environment = own | {"QA_DATA_DIR": str(folder / "data"), "HF_HUB_OFFLINE": "1"}
    command(environment, "ingest", str(folder / "texts"), expected=0)
    return environment


def command(environment: dict[str, str], *arguments: str, expected: int) -> str:
    process = subprocess.run(
        [sys.executable, "-m", "qa_app", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == expected, process.stderr[-2000:]
    assert "Traceback" not in process.stderr
    return process.stderr


@pytest.mark.case("M1")
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (shutil.rmtree, ["not there", "bundled"]),
        (
            lambda model: (model / "model.safetensors").write_bytes(b"\xff" * 100),
            ["cut or damaged", "copy the model again"],
        ),
        (
            lambda model: edit_weights(model, lambda tensors: tensors.pop("qa_outputs.bias")),
            ["qa_outputs.bias", "again"],
        ),
    ],
    ids=["missing", "damaged", "incomplete"],
)
def test_the_command_ends_with_5_and_names_the_way_out(
    indexed: dict[str, str], model: Path, damage: Callable[[Path], object], words: list[str]
) -> None:
    """`qa-app ask` with an unusable model says which, why and what to do, in one line and without a traceback."""
    damage(model)
    said = command(indexed | {"QA_READER_MODEL": str(model)}, "ask", QUESTION, expected=5)
    last = said.strip().splitlines()[-1]
    for word in (str(model), *words):
        assert word in last


def test_the_small_model_is_a_fair_copy_of_a_real_one(whole: Path) -> None:
    """What is damaged here has the files and the architecture of the bundled reader."""
    assert {path.name for path in whole.iterdir()} <= {path.name for path in BUNDLED_FOLDER.iterdir()}
    assert json.loads((whole / "config.json").read_text())["architectures"] == [BertForQuestionAnswering.__name__]
