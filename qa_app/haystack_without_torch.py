"""Imports Haystack without torch, for commands that never read.

``import haystack`` loads torch and takes some eight seconds and 900 MB; without torch, two and a half and 240 MB.
Haystack is made to live without torch (it is an extra of it), so it suffices to hide torch while Haystack is
imported. In a process that did so, no reader can be loaded.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any


class _Hidden(MetaPathFinder):
    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if fullname in ("torch", "sentence_transformers"):
            raise ModuleNotFoundError(f"{fullname} is hidden while Haystack is imported", name=fullname)
        return None


def import_haystack() -> Any:
    """The module ``haystack``, without torch where this process has not imported torch before."""
    if "torch" in sys.modules or "haystack" in sys.modules:
        return importlib.import_module("haystack")
    hidden = _Hidden()
    before = set(sys.modules)
    settings = {"USE_TORCH": "0", "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1"}
    kept = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    sys.meta_path.insert(0, hidden)
    try:
        importlib.import_module("haystack.document_stores")
    except (ImportError, RuntimeError):
        # Some versions of transformers import torch unasked; then Haystack is imported in full, below.
        for name in set(sys.modules) - before:
            if name.split(".")[0] in ("haystack", "transformers"):
                del sys.modules[name]
    finally:
        sys.meta_path.remove(hidden)
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return importlib.import_module("haystack")
