"""A model made for the processor: converted once, compared with PyTorch, kept.

Cached by the model's content, OpenVINO's version and what is done here. A conversion is written beside its place and
moved there whole, under a lock that the system takes back however a process ends: two processes convert once, and one
that is killed leaves nothing that is used. Where the cache cannot be written the conversion serves this process alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from haystack.modeling.data_handler.processor import SquadProcessor
from numpy.typing import NDArray
from transformers import AutoModelForQuestionAnswering

from qa_app.errors import ModelError
from qa_app.reading.engines import Engine
from qa_app.reading.model_files import fingerprint, sha256_of
from qa_app.reading.openvino_engine import OpenVinoEngine, convert, has_bf16, quantize, read, save, version
from qa_app.reading.spans import best_spans
from qa_app.reading.windows import Window, windows_of

logger = logging.getLogger(__name__)

#: Changed with what a conversion does, so that older ones are not used.
_FORMAT = "1"
_QUESTIONS = Path(__file__).with_name("check_questions.json")


@dataclass(frozen=True)
class _Kind:
    """What an engine's conversion is made of, and how well it must do.

    Of ``precisions`` the first that the processor has is used. ``least`` is the share of PyTorch's words that it must
    find in the check questions: the mean F1 of its best spans, with PyTorch's as the truth. Sound conversions are well
    above it, and random answers below 0.1.
    """

    precisions: tuple[str, ...]
    quantized: bool
    least: float

    @property
    def form(self) -> str:
        """What is converted; engines of one form share it."""
        return "int8" if self.quantized else "float"


_KINDS = {
    "openvino-int8": _Kind(("bf16", "f32"), True, 0.93),
    "openvino-bf16": _Kind(("bf16",), False, 0.95),
    "openvino": _Kind(("f32",), False, 0.99),
}

#: Seconds after which a conversion that nobody used makes room for a new one.
_UNUSED = 30 * 24 * 3600

#: Times that the check questions are read, as a first reading may go wrong.
_ATTEMPTS = 2

Span = tuple[int, int]


@dataclass(frozen=True)
class Conversion:
    """The SHA-256 of a conversion's files, and the tokens that PyTorch marks in the check questions."""

    files: dict[str, str]
    spans: list[Span]


def load(name: str, folder: Path, reference: Engine, processor: SquadProcessor, cached: Path) -> OpenVinoEngine:
    """The model in ``folder`` as engine ``name``, from the folder ``cached`` or converted now.

    ``reference`` runs the same model with PyTorch. Before an engine is given away it reads the check questions, which
    also makes its kernels. Raises ModelError where the model cannot be converted, or does not give the answers that
    PyTorch gives.
    """
    kind = _KINDS[name]
    precision = next((precision for precision in kind.precisions if precision != "bf16" or has_bf16()), None)
    if precision is None:
        raise _unsuited(name, folder, "the processor has no bf16")
    pad = processor.tokenizer.pad_token_id or 0
    questions = _Questions(processor)
    with _place(f"{_key(folder, processor)}-{kind.form}", cached) as place:
        done = _kept(place)
        if done is None:
            _prune(place.parent)
            done = _convert(name, folder, place, questions.spans(reference.logits))
        with suppress(OSError):  # a cache that cannot be written is not pruned either
            os.utime(place)
        engine = _compiled(name, folder, place, precision, pad)
    for _ in range(_ATTEMPTS):
        agreement = _agreement(done.spans, questions.spans(engine.logits_once))
        if agreement >= kind.least:
            logger.info("the reader runs with %s (agreement %.3f)", name, agreement)
            return engine
    raise ModelError(
        f"the reader in {folder} does not give its answers with reader.engine = {name} (agreement "
        f"{agreement:.2f} of at least {kind.least}); set reader.engine to 'auto' or 'torch'"
    )


def _compiled(name: str, folder: Path, place: Path, precision: str, pad: int) -> OpenVinoEngine:
    try:
        return OpenVinoEngine(name, read(place / "model.xml"), precision, pad)
    except Exception as error:
        raise _unsuited(name, folder, error) from error


def _unsuited(name: str, folder: Path, why: object) -> ModelError:
    reason = " ".join(str(why).split())[:300]
    return ModelError(
        f"the reader in {folder} cannot be converted for reader.engine = {name}: {reason}; "
        "set reader.engine to 'auto' or 'torch'"
    )


@contextmanager
def _place(key: str, cached: Path) -> Iterator[Path]:
    """The conversion's folder, there or not yet, for this process alone until the end of the block."""
    place = cached / key
    try:
        cached.mkdir(parents=True, exist_ok=True)
        lock = place.with_suffix(".lock").open("w", encoding="ascii")
    except OSError as error:
        logger.warning("%s cannot be written (%s), so the reader is converted anew each time", cached, error.strerror)
    else:
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield place
        return
    with tempfile.TemporaryDirectory() as own:
        yield Path(own) / key


def _key(folder: Path, processor: SquadProcessor) -> str:
    # What PyTorch marks, which is kept with the conversion, depends on how texts are cut into windows.
    windows = f"{processor.max_seq_len} {processor.doc_stride} {processor.max_query_length}"
    content = f"{_FORMAT} {version()} {windows} {fingerprint(folder)}"
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _kept(place: Path) -> Conversion | None:
    """The conversion at ``place`` if it is there and whole."""
    try:
        done = Conversion(**json.loads((place / "conversion.json").read_text(encoding="ascii")))
        return done if all(sha256_of(place / name) == digest for name, digest in done.files.items()) else None
    except (OSError, ValueError, TypeError):
        return None


def _prune(cached: Path) -> None:
    """Removes conversions that were not used for long, of models or of versions of OpenVINO that are gone."""
    for place in cached.glob("*-*/"):
        with suppress(OSError):
            if time.time() - place.stat().st_mtime > _UNUSED:
                shutil.rmtree(place)


def _convert(name: str, folder: Path, place: Path, spans: list[Span]) -> Conversion:
    started = time.monotonic()
    logger.warning("preparing the reader in %s for this processor (%s), once", folder, name)
    part = place.with_name(f"{place.name}.part")
    for left in (part, place):  # of a process that was killed, or damaged
        shutil.rmtree(left, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        source = AutoModelForQuestionAnswering.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, torch_dtype=torch.float32
        )
        model = convert(source)
        if _KINDS[name].quantized:
            quantize(model)
        save(model, part / "model.xml")
        done = Conversion({path.name: sha256_of(path) for path in part.iterdir()}, spans)
        (part / "conversion.json").write_text(json.dumps(asdict(done)), encoding="ascii")
        part.rename(place)
    except OSError as error:
        raise ModelError(
            f"the reader cannot be converted: {place} cannot be written ({error.strerror}); make room there, "
            "or set reader.engine to 'torch'"
        ) from error
    except Exception as error:
        raise _unsuited(name, folder, error) from error
    logger.warning("prepared the reader in %.1f s", time.monotonic() - started)
    return done


class _Questions:
    """The check questions, each about one passage, as ``processor`` cuts them."""

    def __init__(self, processor: SquadProcessor) -> None:
        pairs = json.loads(_QUESTIONS.read_text(encoding="utf-8"))
        dicts = [{"text": text, "questions": [question], "id": str(n)} for n, (question, text) in enumerate(pairs)]
        self._windows, baskets = windows_of(processor, dicts)
        self._features = [sample.features[0] for basket in baskets for sample in basket.samples]

    def spans(self, logits_of: Callable[[Sequence[Window]], list[NDArray[np.float32]]]) -> list[Span]:
        """The first and the last token that an engine marks in each window; (0, 0) is "no answer"."""
        spans = []
        for features, logits in zip(self._features, logits_of(self._windows)):
            first, length = features["seq_2_start_t"], features["passage_length"]
            best, nothing = best_spans(logits, first, length, count=1, apart=0, number=0)
            chosen = nothing if nothing.score > best.score else best
            spans.append((int(chosen.offset_answer_start), int(chosen.offset_answer_end)))
        return spans


def _agreement(expected: Sequence[Span], found: Sequence[Span]) -> float:
    """Mean F1 of the tokens in ``found``, with those in ``expected`` as the truth."""
    scores = []
    for (start, end), (other_start, other_end) in zip(expected, found):
        shared = max(0, min(end, other_end) - max(start, other_start) + 1)
        scores.append(2 * shared / (end - start + 1 + other_end - other_start + 1))
    return sum(scores) / len(scores)
