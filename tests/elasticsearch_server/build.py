"""The server's jars and its compiled launcher, made once and shared by all processes that start servers."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

VERSION = "7.17.29"

_SOURCES = Path(__file__).resolve().parent
_CACHE = _SOURCES.parents[1] / ".cache" / f"elasticsearch-{VERSION}"
_OLDEST_JAVA = 17


class BuildError(RuntimeError):
    """The test server cannot be built here; the message says what to install, or ends with the tool's own words."""


def missing() -> str | None:
    """Why the server cannot run here and what to install; None if it can."""
    if _find_java_home() is None:
        return f"no JDK of version {_OLDEST_JAVA} or later found; on Debian: apt-get install default-jdk-headless"
    if not jars().is_dir() and shutil.which("mvn") is None:
        return "no mvn found to fetch the server's jars; on Debian: apt-get install maven"
    return None


def jars() -> Path:
    """The folder of the server's jars, named after what it was made from."""
    return _CACHE / f"jars-{_digest('pom.xml')}"


def classes() -> Path:
    """The folder of the compiled launcher, named after what it was made from."""
    return _CACHE / f"classes-{_digest('pom.xml', 'TestNode.java')}"


def java_home() -> Path:
    """The JDK that compiles and runs the server. Raises BuildError."""
    home = _find_java_home()
    if home is None:
        raise BuildError(missing())
    return home


def build() -> None:
    """Fetch the jars and compile the launcher unless both are there; killed on the way, the next call begins anew.

    Raises BuildError.
    """
    if jars().is_dir() and classes().is_dir():
        return
    reason = missing()
    if reason is not None:
        raise BuildError(reason)

    def fetch(folder: Path) -> list[str]:
        pom = str(_SOURCES / "pom.xml")
        return ["mvn", "-q", "-B", "-C", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={folder}"]

    def compile_launcher(folder: Path) -> list[str]:
        target = ["--release", str(_OLDEST_JAVA), "-nowarn", "-d", str(folder)]
        return [str(java_home() / "bin" / "javac"), *target, "-cp", f"{jars()}/*", str(_SOURCES / "TestNode.java")]

    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _make(jars(), fetch, lock.fileno())
        _make(classes(), compile_launcher, lock.fileno())


def _make(folder: Path, command: Callable[[Path], list[str]], lock: int) -> None:
    if folder.is_dir():
        return
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    # The tool inherits the lock, so that it stays locked for as long as the tool writes, should we be killed meanwhile.
    done = subprocess.run(
        command(partial),
        check=False,
        env={**os.environ, "JAVA_HOME": str(java_home())},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        pass_fds=[lock],
    )
    if done.returncode != 0:
        raise BuildError(f"{' '.join(done.args)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    partial.rename(folder)


def _digest(*names: str) -> str:
    return hashlib.sha256(b"".join((_SOURCES / name).read_bytes() for name in names)).hexdigest()[:12]


@functools.lru_cache(maxsize=1)
def _find_java_home() -> Path | None:
    # JAVA_HOME, then the path, then where Debian puts every JDK.
    on_path = shutil.which("javac")
    candidates = [
        *([Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []),
        *([Path(on_path).resolve().parents[1]] if on_path else []),
        *sorted(Path("/usr/lib/jvm").glob("*")),
    ]
    return next((home for home in candidates if _java_version(home) >= _OLDEST_JAVA), None)


def _java_version(home: Path) -> int:
    try:
        answer = subprocess.run([home / "bin" / "javac", "-version"], check=False, capture_output=True, text=True)
    except OSError:
        return 0
    # "javac 17.0.15", and "javac 1.8.0" before Java 9.
    version = re.search(r"javac (\d+)", answer.stdout + answer.stderr)
    return int(version[1]) if version and answer.returncode == 0 else 0
