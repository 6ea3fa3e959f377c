"""D2: an ingestion killed at any moment keeps what it acknowledged, and the next completes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.faults.table import Figure
from tests.ingesting import write


@pytest.mark.case("D2")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("store", ["sqlite", pytest.param("elasticsearch", marks=pytest.mark.elasticsearch)])
def test_d2_killed_ingestion(
    store: str, tmp_path: Path, request: pytest.FixtureRequest, long: bool, figure: Figure
) -> None:
    """Whatever moment SIGKILL hits, what was said to be done is there, and in the end all is as after a clean run."""
    kills = 50 if long else 3
    folder = write(
        tmp_path / "papers",
        {
            f"{i % 9}/{i:03}.txt": "\n\n".join(f"Sentence {j} of file {i} is here." * 9 for j in range(9))
            for i in range(120)
        },
    )
    options = {"data_dir": str(tmp_path / "data"), "url": None, "index": f"d2-{os.getpid()}"}
    if store == "elasticsearch":
        options["url"] = request.getfixturevalue("elasticsearch_url")
    driver = subprocess.run(
        [sys.executable, "-m", "tests.faults.kill_driver", json.dumps(options), str(folder), str(kills), "7"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120 + 30 * kills,
        check=False,
    )
    assert driver.returncode == 0, driver.stderr[-3000:]
    result = json.loads(driver.stdout)
    figure(f"ingestions killed on {store}", result["kills"])
    figure("files acknowledged and found again", result["acknowledged"])
    assert result["kills"] == kills, "too few runs were hit; the delays no longer fit the duration"
    assert result["lost"] == []
    assert result["half"] == []
    assert result["acknowledged"] >= kills
    assert set(result["ends"].values()) <= {"indexed", "unchanged"}
    assert result["passages"] == result["clean"]
    assert set(result["again"].values()) == {"unchanged"}
    assert result["problem"] is None
