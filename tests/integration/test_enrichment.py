"""From labelled rows to models, from models to metadata, from metadata to filters and facets, on both stores."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from haystack import Pipeline
from haystack.schema import Document
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, BertForTokenClassification

import qa_app.nodes  # noqa: F401 - loading a pipeline finds nodes among what was imported
from qa_app import bootstrap
from qa_app.errors import ModelError
from qa_app.pipelines import facets
from qa_app.reading.enrichment import PassageClassifier, PassageEntities
from qa_app.reading.model_files import CLASSIFIER, ENTITIES, check_model
from qa_app.settings import Settings
from tests.ingesting import ends, ingesting, settings_for, write
from tests.integration.test_cli import Shell
from tests.serving import serving
from tests.unit.reading.tiny import edit_json, save_model
from tests.unit.training.labelled import moods, write_conll, write_csv

pytestmark = pytest.mark.slow

PAPERS: dict[str, str | bytes] = {
    "one.txt": "Anna Berg reached Porto with 3 sacks of corn. The market of Porto was wonderful on day 1.",
    "two.txt": "Otto Brandt reached Turku with 8 sacks of corn. The library of Turku was dreadful on day 2.",
    "three.txt": "Anna Berg reached Varna with 5 sacks of corn. The bakery of Varna was gloomy on day 3.",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Both models, as the commands train them from small data, and what the commands said."""
    folder = tmp_path_factory.mktemp("models")
    shell = Shell(folder)
    options = ("--learning-rate", 5e-4, "--max-seq-len", 64, "--tokens", 320, "--epochs", 3, "--validations", 1)
    write_csv(folder / "moods.csv", moods(200, 1))
    write_csv(folder / "others.csv", moods(60, 2))
    write_conll(folder / "people.conll", 200, 1)
    validation = ("--validation", "others.csv")
    label = shell.json("train", "text-classification", "moods.csv", *options, *validation, "--output", "label")
    entities = shell.json("train", "token-classification", "people.conll", *options, "--output", "entities")
    return {"label": (folder / "label", label), "entities": (folder / "entities", entities)}


@pytest.fixture(params=["sqlite", pytest.param("elasticsearch", marks=pytest.mark.elasticsearch)])
def settings(request: pytest.FixtureRequest, tmp_path: Path, models: dict[str, Any]) -> Iterator[Settings]:
    """Settings with both models, on each store, and an index of its own."""
    url = request.getfixturevalue("elasticsearch_url") if request.param == "elasticsearch" else None
    made = settings_for(
        tmp_path / "data",
        url,
        index=f"enriched-{uuid.uuid4().hex[:8]}",
        enrich_classifier=str(models["label"][0]),
        enrich_entities=str(models["entities"][0]),
    )
    yield made
    with bootstrap.open_store(made) as store:
        store.delete_index(made.index)


def test_both_tasks_are_learnt(models: dict[str, Any]) -> None:
    """From 200 examples each rule is learnt, and the folders load in transformers with the labels' names."""
    folder, made = models["label"]
    assert made["scores"]["macro_f1"] > 90, made["history"]
    assert AutoModelForSequenceClassification.from_pretrained(folder).config.label2id == {"joy": 0, "sadness": 1}
    check_model(folder, CLASSIFIER)
    folder, made = models["entities"]
    assert made["scores"]["f1"] > 90, made["history"]
    names = AutoModelForTokenClassification.from_pretrained(folder).config.id2label
    assert list(names.values()) == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    check_model(folder, ENTITIES)


def test_passages_can_be_filtered_and_counted(settings: Settings, tmp_path: Path) -> None:
    """Label and entities of passages are filters, and facets whose numbers of files the filters give."""
    with ingesting(settings) as ingest:
        report = ingest(write(tmp_path / "papers", PAPERS))
        assert set(ends(report).values()) == {"indexed"}

        def names(**filters: Any) -> set[str]:
            return {passage.meta["name"] for passage in ingest.store.get_all_documents(filters=filters)}

        assert names(label="joy") == {"one.txt"}
        assert names(label="sadness") == {"two.txt", "three.txt"}
        assert names(entities={"$in": ["Anna Berg"]}) == {"one.txt", "three.txt"}
        assert names(entity_PER="Otto Brandt", label="sadness") == {"two.txt"}
        assert names(entity_LOC={"$in": ["Porto", "Varna"]}) == {"one.txt", "three.txt"}
        assert names(entity_LOC="Anna Berg") == set()
        assert names(label_score={"$gt": 0.5}) == set(PAPERS)
        for passage in ingest.store.get_all_documents():
            assert 0 < passage.meta["label_score"] <= 1
            assert all(entity in passage.content for entity in passage.meta["entities"])
        found = {one.field: dict(one.values) for one in facets.count(ingest.store.get_all_files())[0]}
        assert found["label"] == {"sadness": 2, "joy": 1}
        assert found["entity_PER"] == {"Anna Berg": 2, "Otto Brandt": 1}
        assert set(found["entities"]) == {"Anna Berg", "Otto Brandt", "Porto", "Turku", "Varna"}
        assert "label_score" not in found


def test_other_models_index_anew(tmp_path: Path, models: dict[str, Any]) -> None:
    """What is unchanged is skipped until a model comes, goes or changes where it lies."""
    papers = write(tmp_path / "papers", PAPERS)
    model = save_model(tmp_path / "tiny", BertForTokenClassification)
    plain = settings_for(tmp_path / "data")

    def ended(**overrides: str) -> set[str]:
        with ingesting(settings_for(tmp_path / "data", **overrides)) as ingest:
            return set(ends(ingest(papers)).values())

    with ingesting(plain) as ingest:
        ingest(papers)
    assert ended() == {"unchanged"}
    assert ended(enrich_classifier=str(models["label"][0])) == {"indexed"}
    assert ended(enrich_classifier=str(models["label"][0])) == {"unchanged"}
    assert ended(enrich_entities=str(model)) == {"indexed"}
    assert ended(enrich_entities=str(model)) == {"unchanged"}
    edit_json(model / "config.json", lambda config: config.update(id2label={"0": "O", "1": "B-X"}))
    assert ended(enrich_entities=str(model)) == {"indexed"}
    assert ended() == {"indexed"}
    with bootstrap.open_store(plain) as store:
        assert not [one for one in store.get_all_documents() if {"label", "entities"} & one.meta.keys()]


def test_what_people_gave_stays(settings: Settings, tmp_path: Path) -> None:
    """A label that came with a file is not replaced by a model's."""
    with ingesting(settings, meta={"label": "mine"}) as ingest:
        ingest(write(tmp_path / "papers", PAPERS))
        assert {one.meta["label"] for one in ingest.store.get_all_documents()} == {"mine"}
        assert {one.meta["label"] for one in ingest.store.get_all_files()} == {"mine"}
        assert len(ingest.store.get_all_documents(filters={"entity_LOC": "Porto"})) == 1


def test_the_commands(models: dict[str, Any], tmp_path: Path) -> None:
    """Ingestion by the command, with models from the environment, answers a filtered question."""
    shell = Shell(tmp_path)
    write(tmp_path / "papers", PAPERS)
    own = {"QA_ENRICH_CLASSIFIER": str(models["label"][0]), "QA_ENRICH_ENTITIES": str(models["entities"][0])}
    assert len(shell.json("ingest", "papers", **own)["files"]) == 3
    for filters in ('{"label": "joy"}', '{"entities": {"$in": ["Porto"]}}'):
        answered = shell.json("ask", "How many sacks of corn?", "--filters", filters)
        assert {one["meta"]["name"] for one in answered["answers"] if one["answer"]} == {"one.txt"}
    failed = shell("ingest", "papers", code=ModelError.exit_code, QA_ENRICH_CLASSIFIER=own["QA_ENRICH_ENTITIES"])
    assert "does not classify texts" in failed.stderr
    checks = {check["name"]: check for check in shell.json("doctor", **own)}
    assert checks["enrich.entities"]["finding"].endswith(own["QA_ENRICH_ENTITIES"])
    assert "enrich.classifier" in shell("doctor", code=ModelError.exit_code, QA_ENRICH_CLASSIFIER="./nowhere").stdout


def test_uploads(settings: Settings) -> None:
    """What is uploaded gets label and entities as well: questions filter by them, and facets count them."""
    with serving(settings) as api:
        for name, text in PAPERS.items():
            sent = api.post("/file-upload", files=[("files", (name, text))])
            assert sent.status_code == 200, sent.text
        found = {
            one["field"]: {v["value"]: v["count"] for v in one["values"]} for one in api.get("/facets").json()["facets"]
        }
        assert found["label"] == {"sadness": 2, "joy": 1}
        assert found["entity_PER"] == {"Anna Berg": 2, "Otto Brandt": 1}
        for filters in ({"label": "joy"}, {"entity_LOC": "Porto"}):
            asked = {"query": "How many sacks of corn?", "params": {"filters": filters}}
            answers = api.post("/query", json=asked).json()["answers"]
            assert {one["meta"]["name"] for one in answers if one["answer"]} == {"one.txt"}


def test_torch_is_imported_only_for_models(tmp_path: Path, models: dict[str, Any]) -> None:
    """Ingestion without models leaves torch alone, which costs seconds and memory."""
    write(tmp_path / "papers", PAPERS)
    code = (
        "import sys\nfrom pathlib import Path\nfrom qa_app.cli.ingest import ingest\n"
        "ingest([Path('papers')])\nprint('torch' in sys.modules)"
    )
    for model, expected in (("", "False"), (str(models["label"][0]), "True")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**Shell(tmp_path).environment, "QA_ENRICH_CLASSIFIER": model},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == expected


def test_the_pipeline_as_a_file(models: dict[str, Any], tmp_path: Path) -> None:
    """With its models the indexing pipeline is saved to Haystack's YAML and loaded from it."""
    own = settings_for(
        tmp_path / "data",
        enrich_classifier=str(models["label"][0]),
        enrich_entities=str(models["entities"][0]),
    )
    file = tmp_path / "indexing.yaml"
    with bootstrap.open_store(own) as store, bootstrap.open_indexing(own, store) as pipeline:
        pipeline.save_to_yaml(file)
    loaded = Pipeline.load_from_yaml(file)
    try:
        assert isinstance(loaded.get_node("Classifier"), PassageClassifier)
        assert isinstance(loaded.get_node("Entities"), PassageEntities)
    finally:
        loaded.get_node("Converter").close()
        loaded.get_node("Writer").document_store.close()


def test_long_passages_keep_their_entities(models: dict[str, Any]) -> None:
    """Entities behind the tokens that the model takes at once are found, without a file beside the passage."""
    text = "The market was full. " * 200 + "Anna Berg reached Porto with 3 sacks of corn."
    short = Document(content="Otto Brandt reached Turku with 8 sacks of corn.")
    output, _ = PassageEntities(str(models["entities"][0])).run([Document(content=text), short])
    long, short = output["documents"]
    assert "Porto" in long.meta["entity_LOC"]
    assert short.meta["entities"] == ["Otto Brandt", "Turku"]
    assert short.meta["entity_PER"] == ["Otto Brandt"]
    assert PassageClassifier(str(models["label"][0])).run([Document(content=text)])[0]["documents"][0].meta["label"]


@pytest.mark.parametrize("purpose", [CLASSIFIER, ENTITIES])
def test_unsafe_or_other_models_are_refused(tmp_path: Path, purpose: Any) -> None:
    """A reader, and a model that brings code, are refused before anything of them is loaded."""
    node = PassageClassifier if purpose is CLASSIFIER else PassageEntities
    reader = save_model(tmp_path / "reader")
    with pytest.raises(ModelError, match=purpose.does):
        node(str(reader))
    edit_json(reader / "config.json", lambda config: config.update(auto_map={"AutoModel": "evil.Model"}))
    with pytest.raises(ModelError, match="could run code"):
        node(str(reader))
    with pytest.raises(ModelError, match=purpose.setting):
        node(str(tmp_path / "nowhere"))
