"""From the setting to a folder: as given, from the hub's cache, from a hub, or bundled."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qa_app.errors import ModelError
from qa_app.reading.resolution import BUNDLED, BUNDLED_FOLDER, resolve
from tests.unit.reading.hub import NAME, fill_cache, hub
from tests.unit.reading.tiny import edit_json, save_model

# The hub's library reads its environment when it is imported, so each case gets a process of its own.
_SCRIPT = """
import json, sys
from qa_app.errors import QaAppError
from qa_app.reading import resolution
from qa_app.reading.resolution import resolve
if sys.argv[2:]:
    import huggingface_hub.utils._http as library
    resolution._HUB_SECONDS = 0.2
    library.time = type("Clock", (), {"sleep": staticmethod(lambda seconds: None)})
try:
    found = resolve(sys.argv[1])
    print(json.dumps({"name": found.name, "folder": str(found.folder), "notice": found.notice}))
except QaAppError as error:
    print(json.dumps({"error": type(error).__name__, "message": str(error)}))
"""


def resolved(model: str, cache: Path, *, impatient: bool = False, **environment: str) -> dict[str, Any]:
    """What resolve says in a process whose hub cache is ``cache``; where impatient, it waits a fifth of a second."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "QA_"))}
    process = subprocess.run(
        [sys.executable, "-c", _SCRIPT, model, *(["impatient"] if impatient else [])],
        env=own
        | {
            "HF_HOME": str(cache.parent),
            "HF_HUB_CACHE": str(cache),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    result: dict[str, Any] = json.loads(process.stdout)
    result["log"] = process.stderr
    return result


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole small model; not to be changed."""
    return save_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "home" / "hub"


def test_a_folder_is_used_as_given(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An absolute path, one from here and one from the home folder name the same model, without a notice."""
    monkeypatch.chdir(tiny.parent)
    monkeypatch.setenv("HOME", str(tiny.parent))
    for given in (str(tiny), "./model", "model", "~/model"):
        found = resolve(given)
        assert found.folder.resolve() == tiny.resolve()
        assert found.notice is None


def test_bundled_is_the_reader_that_ships() -> None:
    """The word 'bundled' is a choice and not a makeshift, so there is no notice."""
    found = resolve(BUNDLED)
    assert (found.name, found.folder, found.notice) == (BUNDLED, BUNDLED_FOLDER, None)


@pytest.mark.parametrize(
    "given",
    [
        "./nowhere",
        "/nowhere/at/all",
        "a/b/c",
        "~nobody-of-that-name/model",
        "x" * 5000,
        "two words",
        "a//b",
        "-x/y-",
        "",
    ],
)
def test_what_is_neither_folder_nor_name_is_an_error(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that only looks like a folder or a name goes to the hub or to the bundled reader."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError) as caught:
        resolve(given)
    assert Path(given).name[:200] in str(caught.value)


def test_the_hubs_cache_is_used_without_a_connection(tiny: Path, cache: Path) -> None:
    """A model that was fetched before is taken from the cache, and a hub that is down is not even asked."""
    snapshot = fill_cache(cache, tiny)
    with hub(tiny, "broken") as server:
        found = resolved(NAME, cache, HF_ENDPOINT=server.url)
        assert not server.requests
    assert found["folder"] == str(snapshot)
    assert found["name"] == NAME
    assert found["notice"] is None


def test_a_damaged_cache_is_an_error(tiny: Path, cache: Path) -> None:
    """A cached model that is no question answering model is refused, and not replaced by another in silence."""
    snapshot = fill_cache(cache, tiny)
    (snapshot / "config.json").unlink()
    shutil.copy(tiny / "config.json", snapshot / "config.json")
    edit_json(snapshot / "config.json", lambda config: config.update(architectures=["BertForMaskedLM"]))
    found = resolved(NAME, cache, HF_HUB_OFFLINE="1")
    assert found["error"] == "ModelError"
    assert "BertForMaskedLM" in found["message"]


def test_offline_without_a_cache_leads_to_the_bundled_reader(cache: Path) -> None:
    """The notice names the model that was wanted, and how to get it; it is in the log too."""
    found = resolved(NAME, cache, HF_HUB_OFFLINE="1")
    assert found["folder"] == str(BUNDLED_FOLDER)
    for word in (NAME, "bundled reader", f"huggingface-cli download {NAME}"):
        assert word in found["notice"]
    assert found["notice"] in found["log"]


def test_a_hub_that_refuses_connections_leads_to_the_bundled_reader(cache: Path) -> None:
    """A closed port is as good as no network."""
    found = resolved(NAME, cache, HF_ENDPOINT="http://127.0.0.1:9")
    assert found["folder"] == str(BUNDLED_FOLDER)
    assert NAME in found["notice"]


def test_a_model_is_fetched_from_the_hub_once(tiny: Path, cache: Path, tmp_path: Path) -> None:
    """What a reader needs is downloaded, other frameworks' weights are not, and the second start asks nobody."""
    served = tmp_path / "served"
    shutil.copytree(tiny, served)
    for extra in ("pytorch_model.bin", "tf_model.h5", "onnx/model.safetensors", "README.md"):
        (served / extra).parent.mkdir(exist_ok=True)
        (served / extra).write_bytes(b"not wanted")
    with hub(served) as server:
        found = resolved(NAME, cache, HF_ENDPOINT=server.url)
        fetched = list(server.requests)
        assert resolved(NAME, cache, HF_ENDPOINT=server.url)["folder"] == found["folder"]
        assert server.requests == fetched
    assert found["notice"] is None
    assert {path.name for path in Path(found["folder"]).rglob("*")} == {path.name for path in tiny.iterdir()}


def test_pickled_weights_are_fetched_only_where_there_are_no_others(cache: Path, tmp_path: Path) -> None:
    """A model that the hub has only as pytorch_model.bin is fetched as that."""
    served = save_model(tmp_path / "served", safe_serialization=False)
    with hub(served) as server:
        found = resolved(NAME, cache, HF_ENDPOINT=server.url)
    assert (Path(found["folder"]) / "pytorch_model.bin").is_file()


def test_a_download_that_broke_off_is_completed(tiny: Path, cache: Path) -> None:
    """A snapshot without its weights is no model; the rest is fetched when the hub is there again."""
    fill_cache(cache, tiny, leave_out=frozenset({"model.safetensors"}))
    assert resolved(NAME, cache, HF_HUB_OFFLINE="1")["folder"] == str(BUNDLED_FOLDER)
    with hub(tiny) as server:
        found = resolved(NAME, cache, HF_ENDPOINT=server.url)
    assert found["notice"] is None
    assert (Path(found["folder"]) / "model.safetensors").is_file()


def test_a_name_the_hub_does_not_have_is_an_error(tiny: Path, cache: Path) -> None:
    """A misspelt name is not answered by another model."""
    with hub(tiny, "absent") as server:
        found = resolved("team/mispelt", cache, HF_ENDPOINT=server.url)
    assert found["error"] == "ModelError"
    for word in ("team/mispelt", "spelt", "log in"):
        assert word in found["message"]


def test_a_hub_in_trouble_leads_to_the_bundled_reader(tiny: Path, cache: Path) -> None:
    """Errors of the hub's own are no fault of the model's name."""
    with hub(tiny, "broken") as server:
        found = resolved(NAME, cache, HF_ENDPOINT=server.url)
    assert found["folder"] == str(BUNDLED_FOLDER)
    assert NAME in found["notice"]


def test_a_hub_that_hangs_is_given_up(tiny: Path, cache: Path) -> None:
    """A hub that takes the question and never answers delays the start and no more."""
    with hub(tiny, "hang") as server:
        found = resolved(NAME, cache, HF_ENDPOINT=server.url)
        assert len(server.requests) == 1
    assert found["folder"] == str(BUNDLED_FOLDER)
    assert NAME in found["notice"]


@pytest.mark.parametrize("hang_at", ["config.json", "model.safetensors"])
def test_a_hub_that_hangs_amid_the_files_is_given_up(tiny: Path, cache: Path, hang_at: str) -> None:
    """The hub's library tries such a file a few times; then the bundled reader answers."""
    with hub(tiny, hang_at=hang_at) as server:
        found = resolved(NAME, cache, impatient=True, HF_ENDPOINT=server.url)
        assert any(path.endswith(hang_at) for path in server.requests)
    assert found["folder"] == str(BUNDLED_FOLDER)
    assert NAME in found["notice"]
