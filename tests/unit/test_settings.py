"""Settings: every one once, from file, environment and command line, and told in the README."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from qa_app.errors import SettingsError
from qa_app.settings import Settings, catalogue, load
from tests.conftest import REPOSITORY


def test_later_sources_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line wins over the environment, that over the file, that over the default."""
    (tmp_path / "qa_app.yaml").write_text(
        "store: elasticsearch\nreader:\n  top_k: 7\nretriever.top_k: 8\nindex: filed\n"
    )
    monkeypatch.chdir(tmp_path)
    settings = load(
        {"index": "typed", "reader_model": None}, {"QA_READER_TOP_K": "9", "QA_INDEX": "exported", "QA_STORE": ""}
    )
    assert settings.store == "elasticsearch"
    assert (settings.reader_top_k, settings.retriever_top_k, settings.index) == (9, 8, "typed")
    assert settings.reader_model == Settings().reader_model


def test_the_file_may_lie_elsewhere(tmp_path: Path) -> None:
    """QA_CONFIG names another file, which then must be there."""
    (tmp_path / "mine.yaml").write_text("index: mine\n")
    assert load(environment={"QA_CONFIG": str(tmp_path / "mine.yaml")}).index == "mine"
    with pytest.raises(SettingsError, match="nowhere"):
        load(environment={"QA_CONFIG": str(tmp_path / "nowhere.yaml")})


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"QA_STORE": "mongodb"}, "QA_STORE"),
        ({"QA_READER_TOP_K": "many"}, "QA_READER_TOP_K"),
        ({"QA_READER_TOP_K": "0"}, "least"),
        ({"QA_READER_TOP_K": "2.5"}, "whole"),
        ({"QA_INGEST_TIMEOUT": "nan"}, "number"),
        ({"QA_INGEST_TIMEOUT": "inf"}, "range"),
        ({"QA_PASSAGE_OVERLAP": "90"}, "half"),
        ({"QA_INDEX": "a\x00b"}, "NUL"),
    ],
)
def test_a_wrong_value_is_named(environment: dict[str, str], told: str) -> None:
    """A value that cannot be used is an error that names where it came from and what would do."""
    with pytest.raises(SettingsError, match=told):
        load(environment=environment)


@pytest.mark.parametrize("text", ["stor: sqlite", "- a\n- b", "a: [", "reader: {top_k: true}", "index: 5", "\x00"])
def test_a_wrong_file_is_named(text: str, tmp_path: Path) -> None:
    """An unknown key, a wrong kind or what is not YAML is an error that names the file."""
    path = tmp_path / "qa_app.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"qa_app\.yaml"):
        load(environment={"QA_CONFIG": str(path)})


def test_misspelt_variables_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """A variable that is nearly a setting's is told with the setting's name, and somebody else's is not."""
    load(environment={"QA_READER_TOPK": "3", "QA_READER_TOP_K": "4", "QA_CONFIG": "", "QA_TEAM": "blue"})
    assert [record.getMessage() for record in caplog.records] == [
        "QA_READER_TOPK is no setting and has no effect; was QA_READER_TOP_K meant?"
    ]


def test_secrets_are_not_told() -> None:
    """An error about a secret does not hold the secret."""
    with pytest.raises(SettingsError) as caught:
        load(environment={"QA_ELASTICSEARCH_PASSWORD": "hunter2\x00"})
    assert "hunter2" not in str(caught.value)


def test_the_readme_tells_every_setting() -> None:
    """The README's table has a row for each setting with its variable, default and help, and no row besides."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    table = readme.split("<!-- settings -->")[1]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    expected = [
        f"| `{s.key}` | `{s.environment}` | {f'`{s.default}`' if s.default != '' else ''} | {s.help} |"
        for s in catalogue()
    ]
    assert rows == [row.replace("|  |", "| |") for row in expected]


def test_every_setting_has_a_field() -> None:
    """The catalogue and the record have the same settings."""
    assert [setting.name for setting in catalogue()] == [field.name for field in dataclasses.fields(Settings)]
