"""From the setting ``reader.engine`` to an engine."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

from haystack.modeling.data_handler.processor import SquadProcessor
from haystack.modeling.infer import QAInferencer

from qa_app.errors import ModelError, SettingsError
from qa_app.reading.engines import Engine, TorchEngine

logger = logging.getLogger(__name__)

#: Engines with a model that is converted, the fastest first.
CONVERTED = ("openvino-int8", "openvino-bf16", "openvino")


def choose(wanted: str, folder: Path, inferencer: QAInferencer, cached: Path) -> Engine:
    """The engine that is ``wanted`` for the model in ``folder``, which ``inferencer`` has loaded.

    ``auto`` is PyTorch where there is a GPU, else the fastest that is installed, can take the model and gives PyTorch's
    answers. Conversions are kept in the folder ``cached``. Raises SettingsError where it is not installed, and
    ModelError where the model does not suit it.
    """
    device = inferencer.devices[0]
    torch_engine = TorchEngine(inferencer.model, device, inferencer.batch_size)
    if wanted == "torch" or (wanted == "auto" and device.type != "cpu"):
        return torch_engine
    if importlib.util.find_spec("openvino") is None:
        if wanted == "auto":
            return torch_engine
        raise SettingsError(f"reader.engine = {wanted} needs OpenVINO; install it with 'pip install qa_app[openvino]'")
    for name in CONVERTED if wanted == "auto" else (wanted,):
        try:
            return _load(name, folder, torch_engine, inferencer.processor, cached)
        except ModelError as error:
            if wanted != "auto":
                raise
            logger.warning("%s", error)
    return torch_engine


def _load(name: str, folder: Path, reference: Engine, processor: SquadProcessor, cached: Path) -> Engine:
    try:
        from qa_app.reading.conversion import load
    except ImportError as error:
        raise ModelError(f"OpenVINO cannot be used here ({error}); set reader.engine to 'torch'") from error
    return load(name, folder, reference, processor, cached)
