"""E14: a process that receives and indexes uploads is killed; the next one completes what was accepted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.faults.table import Figure


@pytest.mark.case("E14")
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("store", ["sqlite", pytest.param("elasticsearch", marks=pytest.mark.elasticsearch)])
def test_e14_killed_uploads(
    store: str, tmp_path: Path, request: pytest.FixtureRequest, long: bool, figure: Figure
) -> None:
    """Whatever moment SIGKILL hits, files are whole or absent, and in the end all is as if nobody had been killed."""
    kills = 20 if long else 3
    options = {"data_dir": str(tmp_path / "data"), "url": None, "index": f"e14-{os.getpid()}"}
    if store == "elasticsearch":
        options["url"] = request.getfixturevalue("elasticsearch_url")
    driver = subprocess.run(
        [sys.executable, "-m", "tests.faults.upload_driver", json.dumps(options), str(kills), "14"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60 + 20 * kills,
        check=False,
    )
    assert driver.returncode == 0, driver.stderr[-3000:]
    result = json.loads(driver.stdout)
    killed, clean = result["killed"], result["clean"]
    figure(f"uploads killed on {store}", result["kills"])
    assert result["kills"] == kills, "too few processes were hit; the delays no longer fit the duration"
    assert killed["half"] == []
    assert killed["passages"] == clean["passages"]
    assert killed["files"] == clean["files"]
    assert killed["originals"] == {id: meta["sha256"] for id, meta in killed["files"].items()}
    assert killed["originals_on_disk"] == len(killed["files"])
    assert killed["leavings"] == clean["leavings"] == []
    assert killed["jobs"] == ["done"]
    assert set(killed["statuses"]) <= {"indexed", "unchanged"}
    assert killed["problem"] is None
