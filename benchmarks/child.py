"""Runs one function in a process of its own: ``python -m benchmarks.child MODULE FUNCTION RESULT`` with arguments on
standard input, both sides as JSON."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent


def run(module: str, function: str, **arguments: Any) -> dict[str, Any]:
    """What ``module.function(**arguments)`` gives; raises RuntimeError where the process fails.

    What the process prints goes to standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-m", "benchmarks.child", module, function, str(result)]
        # No setting of the person who measures may change what is measured, and nothing calls out meanwhile.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("QA_")}
        environment |= {"HF_HUB_OFFLINE": "1", "HAYSTACK_TELEMETRY_ENABLED": "False", "NLTK_DATA": folder}
        done = subprocess.run(
            command,
            input=json.dumps(arguments).encode(),
            stdout=sys.stderr.fileno(),
            cwd=REPOSITORY,
            env=environment,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{module}.{function} ended with {done.returncode}; its words are above")
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return found


def say(text: str) -> None:
    """A line of progress on standard error."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    _, module_name, function_name, result_path = sys.argv
    value = getattr(importlib.import_module(module_name), function_name)(**json.load(sys.stdin))
    Path(result_path).write_text(json.dumps(value), encoding="utf-8")
