"""What is refused before anything of a model is loaded."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from qa_app.errors import ModelError
from qa_app.reading.model_files import check_model, has_weights
from qa_app.reading.resolution import BUNDLED_FOLDER
from tests.unit.reading.tiny import edit_json, save_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model")


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(ModelError) as caught:
        check_model(folder)
    for word in (str(folder), *words):
        assert word in str(caught.value)


def test_a_whole_model_passes(model: Path) -> None:
    """A model as transformers saves it, and the one that ships, are taken."""
    check_model(model)
    check_model(BUNDLED_FOLDER)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_what_is_missing_is_named(model: Path, name: str) -> None:
    """A missing file is named, with the way out."""
    (model / name).unlink()
    refused(model, name, "copy the model again")


def test_a_tokenizer_is_needed(model: Path) -> None:
    """Without any tokenizer file there is nothing to read with; either of the two suffices."""
    (model / "tokenizer.json").unlink()
    check_model(model)
    (model / "vocab.txt").unlink()
    refused(model, "tokenizer")


def test_a_folder_that_is_a_file_or_not_there(tmp_path: Path) -> None:
    """The folder is named and the bundled reader offered."""
    refused(tmp_path / "nowhere", "bundled")
    (tmp_path / "file").write_text("no folder")
    refused(tmp_path / "file", "bundled")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"text"', "\udcff", "[" * 100_000, '{"a":' * 100_000])
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_a_damaged_configuration_is_refused(model: Path, name: str, content: str) -> None:
    """Whatever a configuration file holds instead of one, the file is named."""
    (model / name).write_bytes(content.encode(errors="surrogateescape"))
    refused(model)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize(
    "entry",
    [
        {"auto_map": {"AutoModel": "evil.Model"}},
        {"trust_remote_code": True},
        {"custom_pipelines": {}},
        {"attn_implementation": "somebody/kernel"},
        {"_attn_implementation": "somebody/kernel"},
        {"_attn_implementation_internal": "somebody/kernel"},
        {"text_config": {"inner": [{"auto_map": {}}]}},
    ],
    ids=lambda entry: next(iter(entry)),
)
def test_configuration_that_could_run_code_is_refused(model: Path, name: str, entry: dict[str, object]) -> None:
    """Keys that make transformers import code are refused at any depth, in the model's and the tokenizer's file."""
    edit_json(model / name, lambda config: config.update(entry))
    refused(model, name, "could run code")


def test_a_switch_that_transformers_writes_itself_is_taken(model: Path) -> None:
    """Some releases write a bare true or null under such a name, which can run nothing."""
    edit_json(model / "config.json", lambda c: c.update(_attn_implementation_autoset=True, _attn_implementation=None))
    check_model(model)


@pytest.mark.parametrize(
    "name", ["language_model.bin", "language_model_config.json", "model.onnx", "adapter_config.json"]
)
def test_files_that_would_be_loaded_instead_are_refused(model: Path, name: str) -> None:
    """Haystack would load its own format before the weights that were checked."""
    (model / name).write_bytes(b"anything")
    refused(model, name, "move it out")


def test_an_architecture_that_does_not_answer_is_refused(model: Path) -> None:
    """The architecture that the configuration names must be made for question answering."""
    edit_json(model / "config.json", lambda config: config.update(architectures=["BertForMaskedLM"]))
    refused(model, "BertForMaskedLM")
    edit_json(model / "config.json", lambda config: config.update(architectures=[None, 3]))
    refused(model)
    edit_json(model / "config.json", lambda config: config.pop("architectures"))
    check_model(model)


class TestShards:
    """Weights in several files with an index."""

    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        folder = save_model(tmp_path / "model", max_shard_size="20KB")
        assert len(list(folder.glob("*.safetensors"))) > 1
        return folder

    def test_whole_shards_pass(self, model: Path) -> None:
        """Sharded weights are taken where every tensor is in the file that the index names."""
        check_model(model)
        assert has_weights(model)

    def test_a_missing_shard_is_named(self, model: Path) -> None:
        """A shard that was not copied is named."""
        shard = sorted(model.glob("*.safetensors"))[1]
        shard.unlink()
        refused(model, shard.name)

    def test_a_cut_shard_is_named(self, model: Path) -> None:
        """Every shard is checked as one file would be."""
        shard = sorted(model.glob("*.safetensors"))[1]
        shard.write_bytes(shard.read_bytes()[:-1])
        refused(model, shard.name, "cut or damaged")

    @pytest.mark.parametrize("elsewhere", ["../model/x.safetensors", "/etc/passwd", "sub/x.safetensors", ""])
    def test_a_shard_elsewhere_is_refused(self, model: Path, elsewhere: str) -> None:
        """The index cannot lead out of the folder."""
        edit_json(
            model / "model.safetensors.index.json", lambda i: i["weight_map"].update({"qa_outputs.weight": elsewhere})
        )
        refused(model, "not beside it")

    @pytest.mark.parametrize("weight_map", [None, [], {"a": 3}, {}])
    def test_an_index_of_nothing_is_refused(self, model: Path, weight_map: object) -> None:
        """An index that lists no weights, or no question answering head, is refused."""
        edit_json(model / "model.safetensors.index.json", lambda index: index.update(weight_map=weight_map))
        refused(model)

    def test_a_tensor_that_is_not_in_its_shard_is_named(self, model: Path) -> None:
        """A tensor that the index promises and no file holds is named."""
        first = min(model.glob("*.safetensors")).name
        edit_json(model / "model.safetensors.index.json", lambda i: i["weight_map"].update({"ghost.weight": first}))
        refused(model, "ghost.weight")


class TestSums:
    """Checksums, where the folder has them."""

    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        folder = save_model(tmp_path / "model")
        lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.iterdir())]
        (folder / "SHA256SUMS").write_text("".join(lines))
        check_model(folder)
        return folder

    @pytest.mark.parametrize("name", ["vocab.txt", "tokenizer.json", "model.safetensors"])
    def test_one_flipped_bit_is_found(self, model: Path, name: str) -> None:
        """A file that differs in its last byte is named."""
        content = bytearray((model / name).read_bytes())
        content[-1] ^= 1
        (model / name).write_bytes(content)
        refused(model, name, "checksum mismatch")

    def test_a_listed_file_must_be_there(self, model: Path) -> None:
        """A file that the list has and the folder has not is named."""
        (model / "special_tokens_map.json").unlink()
        refused(model, "special_tokens_map.json", "checksum mismatch")

    @pytest.mark.parametrize("content", [b"no sums\n", b"\xff\xfe\n", b"abc\n", b"\n"])
    def test_a_damaged_list_is_an_error_of_ours(self, model: Path, content: bytes) -> None:
        """A list of sums that cannot be read trusts nothing."""
        (model / "SHA256SUMS").write_bytes(content)
        refused(model, "checksum mismatch")

    def test_a_damaged_copy_in_the_hubs_cache_is_found(self, tmp_path: Path) -> None:
        """The hub's cache names weights by their hash, so a damaged download is told from a whole one."""
        folder = save_model(tmp_path / "snapshots" / "1")
        content = (folder / "model.safetensors").read_bytes()
        blob = tmp_path / "blobs" / hashlib.sha256(content).hexdigest()
        blob.parent.mkdir()
        shutil.move(folder / "model.safetensors", blob)
        (folder / "model.safetensors").symlink_to(blob)
        check_model(folder)
        blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        refused(folder, "model.safetensors", "checksum mismatch")


def test_the_bundled_reader_lists_every_file_it_needs() -> None:
    """What ships is under checksums: configuration, tokenizer and weights."""
    listed = {line.split()[1] for line in (BUNDLED_FOLDER / "SHA256SUMS").read_text().splitlines()}
    needed = {path.name for path in BUNDLED_FOLDER.iterdir() if path.suffix in {".json", ".txt", ".safetensors"}}
    assert listed == needed
    assert json.loads((BUNDLED_FOLDER / "config.json").read_text())["architectures"] == ["BertForQuestionAnswering"]
