"""How commands speak."""

from __future__ import annotations

import subprocess
import sys


def test_a_library_s_news_are_left_out_and_its_warnings_stay() -> None:
    """On what device a pipeline of transformers runs is not said; other warnings of the same logger are."""
    code = (
        "from qa_app.cli.output import quiet_libraries; quiet_libraries()\n"
        "from transformers.pipelines.base import logger\n"
        "logger.warning('Device set to use cpu')\n"
        "logger.warning('something is wrong')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Device set to use" not in done.stderr
    assert "something is wrong" in done.stderr
