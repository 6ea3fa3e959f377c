"""Every setting once: its name, default and help; the only reader of the environment and of ``qa_app.yaml``.

Later sources win: default, ``qa_app.yaml`` in the working folder (or the file that ``QA_CONFIG`` names), environment,
command line. An unknown key or a value of the wrong kind is an error that names it, never a silent default.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from qa_app.errors import SettingsError

logger = logging.getLogger(__name__)

CONFIG_FILE = "qa_app.yaml"
STORES = ("sqlite", "elasticsearch")
ENGINES = ("auto", "openvino-int8", "openvino-bf16", "openvino", "torch")
DEFAULT_READER = "deepset/minilm-uncased-squad2"


def _setting(
    key: str,
    default: Any,
    help: str,
    *,
    secret: bool = False,
    least: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    metadata = {"key": key, "help": help, "secret": secret, "least": least, "choices": choices}
    return field(default=default, repr=not (secret or key.endswith("url")), metadata=metadata)


def _default_data_dir() -> str:
    import platformdirs

    return platformdirs.user_data_dir("qa_app", appauthor=False)


@dataclass(frozen=True)
class Settings:
    """What the application was told; made by :func:`load`."""

    data_dir: str = _setting(
        "data_dir", "", "Folder of the embedded store, caches and jobs; empty for the system's own"
    )
    store: str = _setting("store", "sqlite", "Where passages live: sqlite (embedded) or elasticsearch", choices=STORES)
    index: str = _setting("index", "documents", "Name of the index that commands use")
    elasticsearch_url: str = _setting(
        "elasticsearch.url", "http://127.0.0.1:9200", "Address of the Elasticsearch server"
    )
    elasticsearch_username: str = _setting("elasticsearch.username", "", "User of the Elasticsearch server")
    elasticsearch_password: str = _setting(
        "elasticsearch.password", "", "Password of that user, never printed", secret=True
    )
    elasticsearch_api_key: str = _setting(
        "elasticsearch.api_key", "", "API key instead of user and password, never printed", secret=True
    )
    elasticsearch_ca_certs: str = _setting("elasticsearch.ca_certs", "", "File of the certificate authority to trust")
    elasticsearch_shards: int = _setting("elasticsearch.shards", 1, "Primary shards of a new index", least=1)
    elasticsearch_replicas: int = _setting(
        "elasticsearch.replicas", 0, "Replicas of each shard of a new index; a cluster wants 1", least=0
    )
    elasticsearch_timeout: float = _setting(
        "elasticsearch.timeout", 30.0, "Seconds until one request gives up", least=1
    )
    elasticsearch_wait: float = _setting(
        "elasticsearch.wait", 10.0, "Seconds to wait for a server that is starting or overloaded", least=0
    )
    passage_words: int = _setting("passage.words", 100, "Words in a passage, about", least=5)
    passage_overlap: int = _setting("passage.overlap", 20, "Words that neighbouring passages share, about", least=0)
    ingest_workers: int = _setting("ingest.workers", 2, "Processes that convert files", least=1)
    ingest_timeout: float = _setting(
        "ingest.timeout", 60.0, "Seconds until the conversion of one file is given up", least=1
    )
    ingest_memory_mb: int = _setting("ingest.memory_mb", 1024, "Memory a converting process may use, in MB", least=256)
    ingest_max_file_mb: int = _setting("ingest.max_file_mb", 50, "Largest file that is converted, in MB", least=1)
    enrich_classifier: str = _setting(
        "enrich.classifier", "", "Model that gives every passage a label: a hub name or a folder; empty for none"
    )
    enrich_entities: str = _setting(
        "enrich.entities", "", "Model that finds the entities of every passage, named likewise; empty for none"
    )
    retriever_top_k: int = _setting("retriever.top_k", 10, "Passages that the reader reads for a question", least=1)
    reader_model: str = _setting("reader.model", DEFAULT_READER, "Reader: a model's name on the hub, or a folder")
    reader_engine: str = _setting(
        "reader.engine", "auto", "What runs the reader; auto is the fastest that gives its answers", choices=ENGINES
    )
    reader_engine_cache: str = _setting(
        "reader.engine_cache", "", "Folder of readers made for this processor; empty for one in data_dir"
    )
    reader_top_k: int = _setting("reader.top_k", 3, "Answers to a question", least=1)
    reader_min_precision: float = _setting(
        "reader.min_precision",
        0.0,
        "Share of right answers, 0 to 1, below which 'no answer' is said instead; 0 answers always",
        least=0,
    )
    reader_context: int = _setting("reader.context", 150, "Characters shown around an answer, about", least=20)
    api_host: str = _setting(
        "api.host", "127.0.0.1", "Address that the API listens on; others than this machine's need keys"
    )
    api_port: int = _setting("api.port", 8000, "Port that the API listens on", least=0)
    api_keys: str = _setting(
        "api.keys", "", "Keys that the API takes, as scope:key, with commas between them; never printed", secret=True
    )
    api_cors_origins: str = _setting(
        "api.cors_origins", "", "Web origins whose pages may call the API, with commas between"
    )
    api_queue: int = _setting(
        "api.queue", 16, "Requests that wait for the reader before others are turned away", least=1
    )
    api_batch: int = _setting(
        "api.batch", 1, "Waiting questions that the reader takes at once; more may pay on a graphics card", least=1
    )
    api_deadline: float = _setting("api.deadline", 30.0, "Seconds until a request is given up", least=0.1)
    api_max_upload_mb: int = _setting(
        "api.max_upload_mb", 200, "Largest upload, all its files together, in MB", least=1
    )
    api_log_questions: bool = _setting("api.log_questions", False, "Whether questions are written to the log")
    api_url: str = _setting("api.url", "", "Where the page finds the API; empty for api.host and api.port")
    api_key: str = _setting("api.key", "", "Key that the page shows the API, never printed", secret=True)
    ui_host: str = _setting(
        "ui.host", "127.0.0.1", "Address that the page listens on; it asks nobody who reaches it for a key"
    )
    ui_port: int = _setting("ui.port", 8501, "Port that the page listens on", least=0)

    @property
    def data_path(self) -> Path:
        """The data folder, made absolute."""
        return Path(self.data_dir or _default_data_dir()).expanduser().absolute()

    @property
    def enriches(self) -> bool:
        """Whether models look at passages while they are indexed, which takes torch."""
        return bool(self.enrich_classifier or self.enrich_entities)

    @property
    def engine_cache_path(self) -> Path:
        """Where readers made for this processor are kept, made absolute."""
        given = self.reader_engine_cache
        return Path(given).expanduser().absolute() if given else self.data_path / "engines"

    @property
    def calibrations_path(self) -> Path:
        """Where readers' calibrations are kept."""
        return self.data_path / "calibrations"


@dataclass(frozen=True)
class Setting:
    """One setting as documentation and error messages name it."""

    name: str
    key: str
    environment: str
    kind: type
    default: Any
    help: str
    secret: bool
    least: float | None
    choices: tuple[str, ...]

    def shown(self, value: object) -> str:
        """A value as it may be printed: without the secret that it is, or that an address holds."""
        return "***" if self.secret else re.sub(r"//[^/]*@", "//***@", str(value))


def catalogue() -> list[Setting]:
    """All settings, in the order of :class:`Settings`."""
    kinds = get_type_hints(Settings)
    return [
        Setting(
            name=f.name,
            environment="QA_" + f.metadata["key"].replace(".", "_").upper(),
            kind=kinds[f.name],
            default=f.default,
            **f.metadata,
        )
        for f in fields(Settings)
    ]


T = TypeVar("T")


def _checked(setting: Setting, value: object, source: str) -> Any:
    """``value`` as the setting's kind; raises SettingsError naming the setting and where the value came from."""
    where = f"{setting.key} = {setting.shown(repr(value))} from {source}"
    if setting.kind is str:
        if not isinstance(value, str):
            raise SettingsError(f"{where} is not text; put it in quotes")
        if setting.choices and value not in setting.choices:
            raise SettingsError(f"{where} is not one of: {', '.join(setting.choices)}")
        if "\x00" in value:
            raise SettingsError(f"{where} holds a NUL character")
        return value
    if setting.kind is bool:
        # YAML gives a truth value, the environment its name.
        named = {"true": True, "false": False}.get(str(value).lower())
        if named is None:
            raise SettingsError(f"{where} is not one of: true, false")
        return named
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise SettingsError(f"{where} is not a number")
    try:
        number = setting.kind(value)
        if number != float(value):
            raise ValueError("fraction")
    except (ValueError, OverflowError):
        raise SettingsError(f"{where} is not a {'whole ' if setting.kind is int else ''}number") from None
    if not (setting.least is None or setting.least <= number < 1e9):
        raise SettingsError(f"{where} is out of range; the least is {setting.least:g}")
    return number


def _flat(tree: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _from_file(path: Path) -> dict[str, object]:
    import yaml

    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise SettingsError(f"{path} must hold lines such as 'store: sqlite'")
    return _flat(tree)


def load(overrides: Mapping[str, object] | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings in force.

    ``overrides`` are values from the command line by field name; None means not given. ``environment`` stands in for
    the process's own. Raises SettingsError.
    """
    environment = os.environ if environment is None else environment
    by_key = {setting.key: setting for setting in catalogue()}
    by_variable = {setting.environment: setting for setting in by_key.values()}
    values: dict[str, Any] = {}
    named = environment.get("QA_CONFIG")
    config = Path(named).expanduser() if named else Path(CONFIG_FILE)
    if named or config.is_file():
        for key, value in _from_file(config).items():
            if key not in by_key:
                raise SettingsError(f"{config} has an unknown setting {key!r}; the settings are: {', '.join(by_key)}")
            values[by_key[key].name] = _checked(by_key[key], value, str(config))
    for variable, setting in by_variable.items():
        if environment.get(variable):
            values[setting.name] = _checked(setting, environment[variable], variable)
    _tell_misspelt(by_variable, environment)
    by_name = {setting.name: setting for setting in by_key.values()}
    for name, value in (overrides or {}).items():
        if value is not None:
            values[name] = _checked(by_name[name], value, "the command line")
    result = replace(Settings(), **values)
    if result.passage_overlap * 2 > result.passage_words:
        raise SettingsError(
            f"passage.overlap = {result.passage_overlap} is more than half of passage.words = {result.passage_words}; "
            "make it smaller"
        )
    return result


def _tell_misspelt(known: Collection[str], environment: Mapping[str, str]) -> None:
    """A warning for variables that look like a setting's; others that begin with QA_ may be somebody else's."""
    for name in sorted(set(environment).difference(known)):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.9) if name.startswith("QA_") else []
        if near:
            logger.warning("%s is no setting and has no effect; was %s meant?", name, near[0])


def environment_for_child(
    changes: Mapping[str, str], *, defaults: Mapping[str, str] | None = None, settings: bool = True
) -> dict[str, str]:
    """This process's environment for a child of it: over ``defaults``, under ``changes``.

    Without ``settings``, what begins with QA_ is left out, since it may hold secrets.
    """
    kept = {name: value for name, value in os.environ.items() if settings or not name.startswith("QA_")}
    return {**(defaults or {}), **kept, **changes}
