"""The forward pass by OpenVINO, which uses what the processor has for bf16 and int8.

Imported only where ``openvino`` is installed. An empty entry in ``sys.modules`` keeps its usage reports, which it sends
to their maker at every import unless told otherwise, out of this process: nothing leaves the machine.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from qa_app.errors import ModelError
from qa_app.reading.deadline import check
from qa_app.reading.engines import check_process, translated
from qa_app.reading.windows import Window

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402 - only now that it cannot report
from openvino import opset13 as ops  # noqa: E402
from openvino.frontend import FrontEndManager  # noqa: E402
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder  # noqa: E402

#: Windows are padded to the next multiple. Every length has kernels of its own, which cost milliseconds to make and
#: megabytes to keep; of all lengths up to 256 that would be 500 MB.
_STEP = 8
#: Shapes whose kernels are kept for each operation.
_SHAPES = 64
#: Outputs of a linear layer that is made int8; the head with its two costs nothing, and every answer depends on it.
_LEAST = 16
#: Inputs of a linear layer that share a scale. With 384, the whole of MiniLM's hidden size, reading is 5 % faster, but
#: its answers lose 0.4 F1 instead of 0.2; with 32 it is half as fast.
_GROUP = 128
_STREAMS = 8
#: Windows in a batch at most; more of them leave a core's cache.
_BATCH = 8
#: A batch of a shape that is new is read twice, for each stream once, and again until two readings agree: on machines
#: with too much to do a first one came out wrong, once in many thousands, and never a later one.
_ATTEMPTS = 4
#: Difference in scores that readings of one batch may have; those that were wrong had others altogether.
_EQUAL = 1e-2


@cache
def _core() -> ov.Core:
    """OpenVINO itself; making one loads what runs on the processor."""
    return ov.Core()


def version() -> str:
    """OpenVINO's version, on which converted models depend."""
    return str(ov.get_version())


def has_bf16() -> bool:
    """Whether the processor multiplies in bf16."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoEngine:
    """A converted model, compiled for this processor.

    ``precision`` is that of what passes between the layers, "f32" or "bf16". Where weights are int8 the layers' inputs
    are made int8 as they come, group by group, so that no calibration with texts is needed. Raises RuntimeError where
    OpenVINO cannot run the model.
    """

    def __init__(self, name: str, model: ov.Model, precision: str, pad: int) -> None:
        self.name = name
        self._model, self._precision, self._pad = model, precision, pad
        self._streams = min(torch.get_num_threads(), _STREAMS)
        #: How often readings of batches of a shape agreed.
        self._agreed: Counter[tuple[int, int]] = Counter()
        self._requests = self._compiled()

    def _compiled(self) -> list[ov.InferRequest]:
        compiled = _core().compile_model(
            self._model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": self._precision,
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "NUM_STREAMS": self._streams,
                "DYNAMIC_QUANTIZATION_GROUP_SIZE": _group(self._model),
                "CPU_RUNTIME_CACHE_CAPACITY": _SHAPES,
            },
        )
        # As many as there are batches of a usual question, so that a stream never waits for Python.
        return [compiled.create_infer_request() for _ in range(2 * self._streams)]

    @translated(MemoryError, RuntimeError)
    def logits(self, windows: Sequence[Window]) -> list[NDArray[np.float32]]:
        """As :class:`qa_app.reading.engines.Engine` says; ModelError also where readings of a new shape disagree."""
        return self._scores(windows, self._streams)

    @translated(MemoryError, RuntimeError)
    def logits_once(self, windows: Sequence[Window]) -> list[NDArray[np.float32]]:
        """Scores as of :meth:`logits`, in half the time where shapes are new, for who compares them with others."""
        return self._scores(windows, 0)

    def _scores(self, windows: Sequence[Window], times: int) -> list[NDArray[np.float32]]:
        """Scores of windows; batches of shapes that agreed less than ``times`` are read twice."""
        check_process()
        batches = _batches([len(window) for window in windows], self._streams)
        shapes = [(len(batch), _padded(windows[batch[0]])) for batch in batches]
        new = {n for n, shape in enumerate(shapes) if self._agreed[shape] < times}
        readings: list[list[NDArray[np.float32]]] = [[] for _ in batches]
        scores: dict[int, NDArray[np.float32]] = {}
        missing = [n for n in range(len(batches)) for _ in range(2 if n in new else 1)]
        for _ in range(_ATTEMPTS):
            for n, found in zip(missing, self._read(windows, [batches[n] for n in missing])):
                if n not in new or any(np.allclose(found, other, atol=_EQUAL, equal_nan=True) for other in readings[n]):
                    scores[n] = found
                readings[n].append(found)
            missing = sorted({*missing} - scores.keys())
            if not missing:
                break
        else:
            raise ModelError("the reader reads the same text differently each time; set reader.engine to 'torch'")
        self._agreed.update(shapes[n] for n in new)
        rows = {number: row for n, batch in enumerate(batches) for number, row in zip(batch, scores[n])}
        return [rows[number][: len(window)] for number, window in enumerate(windows)]

    def _read(self, windows: Sequence[Window], batches: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """The scores of each batch of windows, with those of the padding."""
        scores: list[NDArray[np.float32]] = []
        begun: deque[ov.InferRequest] = deque()
        self._requests = self._requests or self._compiled()
        free = list(self._requests)

        def finish() -> None:
            begun[0].wait()
            free.append(begun.popleft())
            scores.append(np.array(free[-1].get_output_tensor(0).data, np.float32))

        try:
            for numbers in batches:
                check()
                if not free:
                    finish()
                begun.append(free.pop())
                # No callbacks: one that waits for Python's lock would hold up the end of the process.
                begun[-1].start_async(self._inputs([windows[number] for number in numbers]))
            while begun:
                finish()
        except RuntimeError:
            self._requests = []  # what OpenVINO keeps of a pass that failed fails the next ones too
            raise
        finally:
            for request in begun:
                with suppress(RuntimeError):
                    request.wait()
        return scores

    def _inputs(self, windows: Sequence[Window]) -> list[NDArray[np.int64]]:
        shape = (len(windows), _padded(windows[0]))
        ids = np.full(shape, self._pad, np.int64)
        segments, mask = np.zeros((2, *shape), np.int64)
        for row, window in enumerate(windows):
            ids[row, : len(window)] = window.ids
            segments[row, : len(window)] = window.segments
            mask[row, : len(window)] = 1
        return [ids, segments, mask]


def _batches(lengths: Sequence[int], streams: int) -> list[list[int]]:
    """Numbers of windows that go together, of like length and the longest first.

    Two or more batches for each stream, as equal as can be: with one the streams would not end together.
    """
    if not lengths:
        return []
    order = np.argsort(lengths, kind="stable")[::-1]
    count = max(2 * streams, -(-len(order) // _BATCH))
    return [batch.tolist() for batch in np.array_split(order, min(count, len(order)))]


def _padded(window: Window) -> int:
    """How many tokens a window takes in its batch, of which it is the longest."""
    return -(-len(window) // _STEP) * _STEP


def convert(model: torch.nn.Module) -> ov.Model:
    """``model``, of transformers' question answering models, as one that takes ids, segments and mask."""
    example = torch.ones((2, 16), dtype=torch.long)
    inputs = (example, torch.zeros_like(example), torch.ones_like(example))
    traced = _Scores(model.eval())
    with torch.no_grad():
        decoder = TorchScriptPythonDecoder(traced, example_input=inputs)
        frontend = FrontEndManager().load_by_framework("pytorch")
        converted = frontend.convert(frontend.load(decoder))
    for name, given in zip(("ids", "segments", "mask"), converted.inputs, strict=True):
        given.get_node().set_friendly_name(name)
        given.get_node().set_partial_shape(ov.PartialShape([-1, -1]))
        given.get_node().set_element_type(ov.Type.i64)
    converted.validate_nodes_and_infer_types()
    return converted


class _Scores(torch.nn.Module):
    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self._model = model
        kinds = getattr(model.config, "type_vocab_size", 1)
        self._has_segments = isinstance(kinds, int) and kinds > 1

    def forward(self, ids: torch.Tensor, segments: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        more = {"token_type_ids": segments} if self._has_segments else {}
        if not self._has_segments:
            ids = ids + 0 * segments  # an input that is not used would not be one
        scores = self._model(input_ids=ids, attention_mask=mask, **more)
        return torch.stack([scores.start_logits, scores.end_logits], dim=-1)


def quantize(model: ov.Model) -> None:
    """Makes the weights of the linear layers int8, with a scale for each of their outputs."""
    linear = [
        node
        for node in model.get_ordered_ops()
        if node.get_type_name() == "MatMul"
        and (weights := node.input_value(1).get_node()).get_type_name() == "Constant"
        and len(weights.shape) == 2
        and min(weights.shape) >= _LEAST
    ]
    for node in linear:
        weights = node.input_value(1).get_node().data.astype(np.float32)
        if not node.get_attributes()["transpose_b"]:
            weights = np.ascontiguousarray(weights.T)
        scales = np.maximum(np.abs(weights).max(axis=1, keepdims=True), np.finfo(np.float32).tiny) / 127
        rounded = np.clip(np.rint(weights / scales), -127, 127).astype(np.int8)
        # The form in which the processor's plugin knows compressed weights.
        small = ops.multiply(ops.convert(ops.constant(rounded), "f32"), ops.constant(scales))
        multiplied = ops.matmul(node.input_value(0), small, False, True)
        multiplied.set_friendly_name(node.get_friendly_name())
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(multiplied.output(0))


def _group(model: ov.Model) -> int:
    """Inputs that share a scale, in all linear layers; 0 leaves them float."""
    sizes = [
        node.input(1).get_shape()[1]
        for node in model.get_ordered_ops()
        if node.get_type_name() == "MatMul" and node.input_value(1).get_node().get_type_name() == "Multiply"
    ]
    return int(np.gcd.reduce([_GROUP, *sizes])) if sizes else 0


def read(path: Path) -> ov.Model:
    """A model that was saved."""
    return _core().read_model(path)


def save(model: ov.Model, path: Path) -> None:
    """Writes ``path`` and, beside it, the weights."""
    ov.save_model(model, path, compress_to_fp16=False)
