"""M7: readings that need more memory than there is."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY
from tests.faults.memory_driver import LITTLE
from tests.faults.table import Figure


@pytest.mark.case("M7")
@pytest.mark.reader
@pytest.mark.slow
@pytest.mark.parametrize("engine", ["openvino", pytest.param("torch", marks=pytest.mark.long)])
def test_m7_long_readings_in_little_memory(engine: str, figure: Figure) -> None:
    """They are read in parts, or refused with the way out; the process lives, and answers afterwards as before."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.memory_driver", engine],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert "Anna Berg" in {answer for answer, _ in said["in parts"]}
    if engine == "torch":
        assert said["at once"].startswith("model: the reader could not finish reading")
    assert said["in too little"].startswith("model: the reader could not finish reading")
    assert "fewer or shorter passages" in said["in too little"]
    assert said["before"] == said["after too little"] == said["after all"]
    figure(f"megabytes let {engine} read a hundred long passages in parts", LITTLE)
