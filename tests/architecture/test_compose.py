"""The containers are as docker-compose.yml, the Dockerfiles and .env.example promise; no engine is needed to see it.

``compose-spec.json`` is the Compose specification's own schema, as its Go library compose-go 2.16.2 ships it
(Apache-2.0). What a container does when it runs is tested in ``tests/integration/test_containers.py``, which takes its
commands from here.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from streamlit.config import get_config_options

from qa_app.api import server
from qa_app.api.keys import parse_keys
from qa_app.settings import catalogue, load
from tests.conftest import REPOSITORY

COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES = ("elasticsearch", "api", "ui")
BUILT = ("api", "ui")
SECRETS = {
    "ELASTIC_PASSWORD": "password-of-elastic-0",
    "QA_ADMIN_KEY": "key-of-the-admin-0",
    "QA_UI_KEY": "key-of-the-page-0",
}
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?:(:[-?])([^}]*))?\})")


class MissingVariableError(Exception):
    """A variable without which the file cannot be used."""


def interpolated(value: Any, variables: dict[str, str]) -> Any:
    """``value`` with Compose's variables filled in: ``${X}``, ``${X:-default}``, ``${X:?message}`` and ``$$``."""
    if isinstance(value, dict):
        return {key: interpolated(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [interpolated(inner, variables) for inner in value]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        name, operator, text = match.groups()
        if name is None:
            return "$"
        if variables.get(name):
            return variables[name]
        if operator == ":?":
            raise MissingVariableError(text)
        return text or ""

    return _VARIABLE.sub(fill, value)


def service(name: str, **variables: str) -> dict[str, Any]:
    """A service as Compose runs it, with SECRETS and ``variables`` in .env."""
    filled: dict[str, Any] = interpolated(COMPOSE["services"][name], {**SECRETS, **variables})
    return filled


@dataclass(frozen=True)
class Image:
    """What a Dockerfile makes: instructions of its stages, each a name and the rest of its line."""

    stages: list[list[tuple[str, str]]]

    def values(self, name: str, stage: int = -1) -> list[str]:
        """The rests of all ``name`` instructions of a stage."""
        return [value for instruction, value in self.stages[stage] if instruction == name]

    def command(self, given: list[str] | None = None) -> list[str]:
        """The entry point with ``given`` arguments, or those of the image."""
        [entrypoint] = self.values("ENTRYPOINT")
        [arguments] = self.values("CMD")
        return [*json.loads(entrypoint), *(given or json.loads(arguments))]

    @property
    def environment(self) -> dict[str, str]:
        """What ENV sets."""
        pairs = [pair for value in self.values("ENV") for pair in shlex.split(value)]
        return dict(pair.split("=", 1) for pair in pairs)

    def copied(self) -> list[str]:
        """What comes from the build's context, in any stage."""
        copies = [shlex.split(value) for stage in range(len(self.stages)) for value in self.values("COPY", stage)]
        return [source for words in copies if not words[0].startswith("--from") for source in words[:-1]]


def image(name: str) -> Image:
    """The image of a service that is built here."""
    built = COMPOSE["services"][name]["build"]
    path = REPOSITORY / built["context"] / built.get("dockerfile", "Dockerfile")
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    stages: list[list[tuple[str, str]]] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        instruction, value = line.split(maxsplit=1)
        if instruction == "FROM":
            stages.append([])
        stages[-1].append((instruction, value))
    return Image(stages)


def bytes_of(size: str) -> int:
    """``512m`` in bytes."""
    return int(size[:-1]) * 1024 ** ("kmg".index(size[-1].lower()) + 1)


def seconds_of(duration: str) -> int:
    """``1m`` in seconds."""
    return int(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


# -- the file as a whole -----------------------------------------------------------------------------------------------


def test_the_file_is_of_the_compose_specification() -> None:
    """The specification's own schema accepts the file, and knows what it refuses."""
    schema = json.loads(Path(__file__).with_name("compose-spec.json").read_text(encoding="utf-8"))
    check = jsonschema.Draft202012Validator(schema)
    assert [error.message for error in check.iter_errors(COMPOSE)] == []
    assert list(check.iter_errors({"services": {"api": {"mem_limits": "1g"}}}))


def test_these_services_and_no_others() -> None:
    """Elasticsearch, the API and the page are all there is."""
    assert sorted(COMPOSE["services"]) == sorted(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name: str) -> None:
    """A container gains no privileges, has no capability, a bounded memory and log, and comes back after a crash."""
    found = service(name)
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc"} & set(found)
    assert 2**28 <= bytes_of(found["mem_limit"]) <= 2**32
    assert found["logging"]["driver"] == "json-file"
    assert set(found["logging"]["options"]) == {"max-size", "max-file"}
    assert found["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_is_root(name: str) -> None:
    """A container's process has the number of a user that is not root."""
    user = service(name).get("user") or image(name).values("USER")[-1]
    assert re.fullmatch(r"[1-9]\d*:\d+", user)


@pytest.mark.parametrize("name", BUILT)
def test_the_root_file_system_is_read_only(name: str) -> None:
    """What our containers write goes to volumes, or to a /tmp of bounded size where HOME is too."""
    found = service(name)
    assert found["read_only"] is True
    [mount] = found["tmpfs"]
    path, options = mount.split(":")
    assert path == image(name).environment["HOME"] == "/tmp"
    assert bytes_of(re.search(r"size=(\w+)", options)[1]) < bytes_of(found["mem_limit"])  # type: ignore[index]
    assert "mode=1777" in options


@pytest.mark.parametrize("name", BUILT)
def test_what_a_container_starts_is_reaped_and_told_to_end(name: str) -> None:
    """The first process is an init: as the first one, Python would neither end by default nor reap what it inherits."""
    assert service(name)["init"] is True


def test_services_have_the_time_to_end() -> None:
    """No container is killed while requests drain, or while Elasticsearch writes what it holds."""
    assert seconds_of(service("api")["stop_grace_period"]) >= 2 * server._DRAIN
    assert seconds_of(service("elasticsearch")["stop_grace_period"]) >= 30


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_health_check(name: str) -> None:
    """Each is asked again and again within a bounded time, and has time to start."""
    check = service(name)["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert seconds_of(check["timeout"]) <= seconds_of(check["interval"])
    assert check["retries"] >= 3
    assert seconds_of(check["start_period"]) >= 60


def test_the_api_is_healthy_when_it_is_up() -> None:
    """Its health is that it answers: it is in service, and the page up, while the store or the reader is missing."""
    assert 'request("GET", "/live")' in service("api")["healthcheck"]["test"][-1]


def test_the_password_is_no_argument() -> None:
    """Elasticsearch's health check passes it by standard input, and asks for an index that can be read."""
    [kind, command] = service("elasticsearch")["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    assert '"$ELASTIC_PASSWORD" | curl --config - ' in command
    assert "/_cluster/health?wait_for_status=yellow" in command


def test_services_start_in_the_order_of_their_health() -> None:
    """The API starts when Elasticsearch is healthy, the page when the API is."""
    assert service("api")["depends_on"] == {"elasticsearch": {"condition": "service_healthy"}}
    assert service("ui")["depends_on"] == {"api": {"condition": "service_healthy"}}
    assert "depends_on" not in service("elasticsearch")


# -- networks, ports, volumes ------------------------------------------------------------------------------------------


def test_only_the_api_and_the_page_are_published() -> None:
    """On this machine alone by default; address and ports can be chosen."""
    assert "ports" not in service("elasticsearch")
    assert "expose" not in service("elasticsearch")
    assert service("api")["ports"] == ["127.0.0.1:8000:8000"]
    assert service("ui")["ports"] == ["127.0.0.1:8501:8501"]
    chosen = {"QA_PUBLISH_ADDRESS": "10.0.0.7", "QA_API_PORT": "81", "QA_UI_PORT": "82"}
    assert service("api", **chosen)["ports"] == ["10.0.0.7:81:8000"]
    assert service("ui", **chosen)["ports"] == ["10.0.0.7:82:8501"]


def test_elasticsearch_is_reached_by_the_api_alone() -> None:
    """Its network has no way out, and the page is not in it."""
    assert COMPOSE["networks"] == {"store": {"internal": True}, "web": {}}
    assert service("elasticsearch")["networks"] == ["store"]
    assert service("api")["networks"] == ["store", "web"]
    assert service("ui")["networks"] == ["web"]


def test_what_must_last_is_in_volumes() -> None:
    """Passages, originals with jobs, and readers outlive their containers, where the images keep them."""
    environment = image("api").environment
    assert service("elasticsearch")["volumes"] == ["passages:/usr/share/elasticsearch/data"]
    assert service("api")["volumes"] == [f"data:{environment['QA_DATA_DIR']}", f"models:{environment['HF_HOME']}"]
    assert COMPOSE["volumes"] == {"passages": {}, "data": {}, "models": {}}
    assert "volumes" not in service("ui")


def test_volumes_belong_to_the_user_of_the_container() -> None:
    """The image has the volumes' folders, made for the user as whom it runs."""
    [made] = image("api").values("RUN")
    uid = image("api").values("USER")[-1].split(":")[0]
    [name] = re.findall(rf"useradd --uid {uid} .* (\w+) &&", made)
    folders = [mount.split(":")[1] for mount in service("api")["volumes"]]
    assert f"install --directory --owner={name} --group={name} {' '.join(folders)} " in made


# -- images ------------------------------------------------------------------------------------------------------------


def test_images_are_pinned_by_version() -> None:
    """No tag moves, and no name holds the address of a registry."""
    ours = [image(name).values("FROM", stage)[0] for name in BUILT for stage in (0, 1)]
    names = [service("elasticsearch")["image"], *(one.split()[0] for one in ours)]
    assert all(re.fullmatch(r"[a-z]+:\d+\.\d+\.\d+[\w-]*", name) for name in names), names
    assert names[0].startswith("elasticsearch:8.19.")
    # An environment is moved from the first stage to the second, so both have the same Python.
    assert len(set(names[1:])) == 1
    assert names[1].endswith("-slim-bookworm")
    minor = int(names[1].split(".")[1])
    requires = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', _read("pyproject.toml"))
    assert requires
    assert int(requires[1]) <= minor < int(requires[2])


@pytest.mark.parametrize("name", BUILT)
def test_our_images_are_built_here(name: str) -> None:
    """From a Dockerfile of this repository, in a stage for building and one that is left."""
    assert "image" not in service(name)
    assert service(name)["build"]["context"] == "."
    assert len(image(name).stages) == 2
    assert service(name, PIP_OPTIONS="--pre")["build"]["args"] == {"PIP_OPTIONS": "--pre"}
    assert service(name)["build"]["args"] == {"PIP_OPTIONS": ""}


@pytest.mark.parametrize("name", BUILT)
def test_everything_that_is_installed_is_pinned(name: str) -> None:
    """pip takes the constraints and the options of whoever builds, and keeps no cache in the image."""
    assert image(name).values("ARG", 0) == ['PIP_OPTIONS=""']
    installs = [run for run in image(name).values("RUN", 0) if "pip install" in run]
    first = installs[0]
    assert re.search(r"/bin/pip install --no-cache-dir --constraint constraints\.txt \$PIP_OPTIONS \S", first)
    assert all("--no-cache-dir" in run for run in installs)
    # What comes after brings no dependency of its own.
    assert all("--no-deps" in run and "$PIP_OPTIONS" in run for run in installs[1:])


def test_the_api_image_has_the_application() -> None:
    """Dependencies are installed before the code is copied, so that a change of code keeps them; then the code is."""
    steps = image("api").stages[0]
    copy = steps.index(("COPY", "qa_app qa_app"))
    runs = [number for number, (step, value) in enumerate(steps) if step == "RUN" and "pip install" in value]
    assert runs[0] < copy < runs[1]
    assert steps.index(("COPY", "samples samples")) < runs[1]
    assert "--force-reinstall" in steps[runs[1]][1]


@pytest.mark.parametrize("name", BUILT)
def test_no_build_tools_are_left(name: str) -> None:
    """The final stage copies one environment, without pip, into an image whose own pip is removed."""
    found = image(name)
    assert re.search(r"/bin/pip uninstall --yes pip", found.values("RUN", 0)[-1])
    [run] = found.values("RUN")
    assert run.endswith("python -m pip uninstall --yes pip setuptools wheel")
    folder = found.environment["PATH"].split(":")[0].removesuffix("/bin")
    assert f"--from=build {folder} {folder}" in found.values("COPY")
    assert found.values("RUN", 0)[0] == f"python -m venv {folder}"


@pytest.mark.parametrize("name", BUILT)
def test_no_secret_is_in_an_image(name: str) -> None:
    """Neither build arguments nor environment name one, and the final stage knows none of pip's options."""
    found = image(name)
    assert found.values("ARG") == []
    named = {*found.environment, *service(name)["build"]["args"]}
    assert {one for one in named if re.search("KEY|PASSWORD|TOKEN|SECRET", one)} == set()


def test_builds_are_given_what_they_copy_and_nothing_else() -> None:
    """.dockerignore leaves everything out but what a Dockerfile copies, and all of that is there."""
    lines = [line for line in _read(".dockerignore").splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    let_in = {line[1:] for line in lines[1:] if line.startswith("!")}
    assert {line for line in lines[1:] if not line.startswith("!")} == {"**/__pycache__"}
    copied = {source for name in BUILT for source in image(name).copied()}
    assert let_in == {source.split("/")[0] for source in copied}
    assert all(list(REPOSITORY.glob(source)) for source in copied)
    package = {"qa_app", "samples", "README.md", "LICENSE"}
    assert set(image("api").copied()) == {*package, "pyproject.toml", "constraints.txt"}
    assert set(image("ui").copied()) == {"ui", "constraints.txt"}


def test_the_page_knows_nothing_of_the_application() -> None:
    """It imports the standard library, itself, and what its image installs; its settings alone read the environment."""
    [install] = [run for run in image("ui").values("RUN", 0) if "pip install" in run]
    installed = set(re.search(r"\$PIP_OPTIONS ([\w ]+?) &&", install)[1].split())  # type: ignore[index]
    imported, readers = set(), set()
    for path in REPOSITORY.glob("ui/**/*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            imported |= {name.split(".")[0] for name in names}
        if re.search(r"\benviron\b|getenv", text):
            readers.add(path.name)
    assert imported - sys.stdlib_module_names - {"ui"} == installed
    assert readers == {"settings.py"}
    pinned = set(re.findall(r"^([\w-]+)==", _read("constraints.txt"), re.M))
    assert installed <= pinned


def test_the_page_keeps_to_itself() -> None:
    """Streamlit reports to nobody, looks nothing up on the network, and shows no visitor what is for developers."""
    told = {name: value for name, value in image("ui").environment.items() if name.startswith("STREAMLIT_")}
    assert told == {
        "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
        "STREAMLIT_BROWSER_SERVER_ADDRESS": "localhost",
        "STREAMLIT_CLIENT_SHOW_ERROR_DETAILS": "none",
        "STREAMLIT_CLIENT_TOOLBAR_MODE": "viewer",
        "STREAMLIT_SERVER_FILE_WATCHER_TYPE": "none",
        "STREAMLIT_SERVER_HEADLESS": "true",
    }
    assert set(told) <= {option.env_var for option in get_config_options().values()}


@pytest.mark.parametrize("name", BUILT)
def test_ports_agree(name: str) -> None:
    """The port on which the image listens, on every address, is the one that is published and asked for its health."""
    found = image(name)
    command = found.command()
    port = command[-1]
    assert "0.0.0.0" in command
    assert found.values("EXPOSE") == [port]
    assert service(name)["ports"][0].endswith(f":{port}")
    assert f'"127.0.0.1", {port}' in service(name)["healthcheck"]["test"][-1]


# -- settings and secrets ----------------------------------------------------------------------------------------------


def test_the_api_is_told_settings_that_there_are() -> None:
    """Every QA_ variable of the API is a setting, and together they are valid."""
    environment = {**image("api").environment, **service("api")["environment"]}
    assert {name for name in environment if name.startswith("QA_")} <= {one.environment for one in catalogue()}
    settings = load(environment=environment)
    assert settings.store == "elasticsearch"
    assert settings.elasticsearch_url == "http://elasticsearch:9200"
    assert (settings.elasticsearch_username, settings.elasticsearch_password) == (
        "elastic",
        SECRETS["ELASTIC_PASSWORD"],
    )
    assert service("elasticsearch")["environment"]["ELASTIC_PASSWORD"] == SECRETS["ELASTIC_PASSWORD"]
    assert settings.reader_model == load(environment={}).reader_model
    assert load(environment=service("api", QA_READER_MODEL="bundled")["environment"]).reader_model == "bundled"


def test_the_page_is_given_the_key_that_writes() -> None:
    """The API takes the admin's key, the page's with the scope write, and more where there are any."""
    keys = parse_keys(service("api")["environment"]["QA_API_KEYS"])
    page = service("ui")["environment"]
    assert page == {"QA_API_URL": "http://api:8000", "QA_API_KEY": SECRETS["QA_UI_KEY"]}
    assert keys.scope(page["QA_API_KEY"]) == "write"
    assert keys.scope(SECRETS["QA_ADMIN_KEY"]) == "admin"
    assert len(keys.digests) == 2
    more = service("api", QA_OTHER_KEYS="read:key-of-a-reader-0")["environment"]["QA_API_KEYS"]
    assert parse_keys(more).scope("key-of-a-reader-0") == "read"


def test_elasticsearch_is_one_node_with_a_password() -> None:
    """Security is on, without TLS within its network; its heap is locked and at most half of its memory."""
    found = service("elasticsearch")
    told = found["environment"]
    assert told["discovery.type"] == "single-node"
    assert told["xpack.security.enabled"] == "true"
    assert told["xpack.security.http.ssl.enabled"] == "false"
    heaps = re.findall(r"-Xm[sx](\w+)", told["ES_JAVA_OPTS"])
    assert len(heaps) == 2
    assert heaps[0] == heaps[1]
    assert 2 * bytes_of(heaps[0]) <= bytes_of(found["mem_limit"])
    assert told["bootstrap.memory_lock"] == "true"
    assert found["ulimits"] == {"memlock": {"soft": -1, "hard": -1}, "nofile": {"soft": 65535, "hard": 65535}}
    # The disk's watermarks are Elasticsearch's own.
    assert set(told) == {
        "discovery.type", "xpack.security.enabled", "xpack.security.http.ssl.enabled",
        "ELASTIC_PASSWORD", "ES_JAVA_OPTS", "bootstrap.memory_lock",
    }  # fmt: skip


@pytest.mark.parametrize("missing", SECRETS)
def test_nothing_starts_without_its_secrets(missing: str) -> None:
    """A password or key that is missing or empty stops Compose with a message that names it and .env.example."""
    given = {name: value for name, value in SECRETS.items() if name != missing}
    with pytest.raises(MissingVariableError, match=rf"set {missing} in \.env, as \.env\.example shows"):
        interpolated(COMPOSE, given)
    text = _read("docker-compose.yml")
    assert set(re.findall(rf"\$\{{{missing}(..)", text)) == {":?"}


def test_no_secret_is_written_down() -> None:
    """The files hold no password or key, and .env enters neither version control nor an image."""
    text = _read("docker-compose.yml")
    secret = re.findall(r"(?:PASSWORD|KEYS?): (\S+)", text)
    assert secret
    assert all(value.startswith(("${", '"admin:${QA_ADMIN_KEY:?')) for value in secret)
    assert ".env" in _read(".gitignore").splitlines()
    assert not re.search(r"^!\.env$", _read(".dockerignore"), re.M)


def test_the_example_names_every_variable() -> None:
    """.env.example asks for each secret and offers every other variable of the file, and no others."""
    example = _read(".env.example")
    asked = re.findall(r"^(\w+)=(.*)$", example, re.M)
    offered = re.findall(r"^#(\w+)=", example, re.M)
    used = {match[1] for match in _VARIABLE.finditer(_read("docker-compose.yml")) if match[1]}
    assert asked == [(name, "") for name in SECRETS]
    assert used == {*SECRETS, *offered}


# -- Compose itself ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose() -> list[str]:
    """The command, where there is one."""
    found = shutil.which("docker-compose")
    if not found:
        pytest.skip("there is no docker-compose here (Debian: docker-compose)")
    return [found, "--file", str(REPOSITORY / "docker-compose.yml"), "--project-directory", str(REPOSITORY)]


def _config(compose: list[str], env: Path) -> subprocess.CompletedProcess[str]:
    command = [*compose, "--env-file", str(env), "config"]
    return subprocess.run(command, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}, check=False)


def test_compose_takes_the_file(compose: list[str], tmp_path: Path) -> None:
    """`docker-compose config` accepts it, and fills variables in as these tests do."""
    env = tmp_path / "env"
    env.write_text("".join(f"{name}={value}\n" for name, value in SECRETS.items()), encoding="utf-8")
    done = _config(compose, env)
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)["services"]
    for name in SERVICES:
        assert found[name]["environment"] == service(name)["environment"]
        # As a file to be read again, in which $ is written twice.
        check = [part.replace("$$", "$") for part in found[name]["healthcheck"]["test"]]
        assert check == service(name)["healthcheck"]["test"]


def test_compose_refuses_what_is_not_filled_in(compose: list[str]) -> None:
    """With .env.example as it is, `docker-compose config` says what is missing and where to look."""
    done = _config(compose, REPOSITORY / ".env.example")
    assert done.returncode != 0
    assert re.search(r"set [A-Z_]+ in \.env, as \.env\.example shows", done.stderr)


def _read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")
