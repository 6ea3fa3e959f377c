"""From passages to answers: every engine over ten passages of a hundred words, beside stock FARMReader."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import child
from benchmarks.corpus import PASSAGE_WORDS, SAMPLES
from benchmarks.report import Cell, Plot, Table

_PASSAGES = 10
_ANSWERS = 3
_STOCK = "FARMReader"
_LIMIT = "forward pass alone, "
#: What either model is called in tables; the wider has the shape of deepset/minilm-uncased-squad2.
_MODELS = {"bundled": "6 layers", "doubled": "12 layers"}


def measure(questions: int) -> list[Table]:
    """Asks ``questions`` questions of every engine, of stock FARMReader and of transformers' pipeline, by turns."""
    tables = []
    for model, title in _MODELS.items():
        child.say(f"reader: {questions} questions of every reader, {title}")
        found = child.run("benchmarks.reader", "with_all", questions=questions, model=model)
        stock = sum(found["readers"][_STOCK])
        rows: list[dict[str, Cell]] = [
            {
                "": name,
                "questions a second": len(seconds) / sum(seconds),
                "median, ms": statistics.median(seconds) * 1000,
                "slowest of a hundred, ms": sorted(seconds)[int(len(seconds) * 0.99)] * 1000,
                "times FARMReader": stock / sum(seconds),
            }
            for name, seconds in found["readers"].items()
        ]
        notes = [
            f"{questions} questions of the samples, {_PASSAGES} passages of about {PASSAGE_WORDS} words each (in all "
            f"{found['tokens']:.0f} tokens a question), {_ANSWERS} answers, on {found['device']}; all by turns.",
            "The pipeline is transformers' own, which pads to the longest passage of a batch.",
            f"'{_LIMIT}...' is the engine with all tokens given: what no reader can be faster than.",
        ]
        if model == "doubled":
            notes.append("The bundled model with each layer twice, for its speed: its answers mean nothing.")
        plot = Plot("questions a second", [(str(row[""]), float(row["questions a second"] or 0)) for row in rows])
        tables.append(Table(f"reader-{title.replace(' ', '-')}", f"Reader, {title}", rows, notes, plot))
    return tables


def with_all(questions: int, model: str) -> dict[str, Any]:
    """Seconds of every question with every reader, after some to warm up."""
    from haystack.nodes import FARMReader
    from haystack.schema import Document
    from transformers import pipeline

    from qa_app.reading.reader import PassageReader
    from qa_app.reading.resolution import BUNDLED_FOLDER
    from qa_app.reading.windows import windows_of

    with tempfile.TemporaryDirectory() as temporary:
        folder = BUNDLED_FOLDER if model == "bundled" else doubled(Path(temporary) / "model")
        stock = FARMReader(str(folder), top_k=_ANSWERS, return_no_answer=True, progress_bar=False)
        transformers = pipeline("question-answering", model=str(folder), device=stock.inferencer.devices[0])
        readers: dict[str, Callable[[str, list[Document]], object]] = {
            _STOCK: stock.predict,
            "transformers pipeline": lambda question, documents: transformers(
                question=[question] * len(documents),
                context=[document.content for document in documents],
                batch_size=len(documents),
            ),
        }
        for engine in engines():
            ours = PassageReader(
                str(folder), engine=engine, top_k=_ANSWERS, engine_cache=str(Path(temporary) / "cache")
            )
            readers[engine] = ours.predict
        limit = ours.inferencer.engine.logits
        seconds: dict[str, list[float]] = {name: [] for name in (*readers, _LIMIT + engine)}
        tokens = []
        warm = 5
        for number, (question, passages) in enumerate(_asked(questions + warm)):
            documents = [Document(content=text, id=f"{number}-{n}") for n, text in enumerate(passages)]
            dicts = [{"text": text, "questions": [question], "id": str(n)} for n, text in enumerate(passages)]
            windows, _ = windows_of(ours.inferencer.processor, dicts)
            tokens.append(sum(map(len, windows)))
            for name, read in readers.items():
                started = time.perf_counter()
                read(question, documents)
                seconds[name].append(time.perf_counter() - started)
            started = time.perf_counter()
            limit(windows)
            seconds[_LIMIT + engine].append(time.perf_counter() - started)
        return {
            "readers": {name: some[warm:] for name, some in seconds.items()},
            "tokens": statistics.mean(tokens[warm:]),
            "device": str(stock.inferencer.devices[0]),
        }


def engines() -> list[str]:
    """The engines that can run here, the slowest first."""
    import importlib.util

    from qa_app.settings import ENGINES

    if importlib.util.find_spec("openvino") is None:
        return ["torch"]
    from qa_app.reading.openvino_engine import has_bf16

    return [name for name in reversed(ENGINES[1:]) if name != "openvino-bf16" or has_bf16()]


def doubled(folder: Path) -> Path:
    """The bundled model with each of its layers twice, as wide and as deep as deepset/minilm-uncased-squad2."""
    import shutil

    from safetensors.torch import load_file, save_file

    from qa_app.reading.resolution import BUNDLED_FOLDER

    shutil.copytree(BUNDLED_FOLDER, folder, ignore=shutil.ignore_patterns("SHA256SUMS", "model.safetensors"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    layers = config["num_hidden_layers"]
    config["num_hidden_layers"] = 2 * layers
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tensors = load_file(BUNDLED_FOLDER / "model.safetensors")
    for name, tensor in list(tensors.items()):
        before, mark, after = name.partition(".layer.")
        if mark:
            number, _, rest = after.partition(".")
            tensors[f"{before}{mark}{int(number) + layers}.{rest}"] = tensor.clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _asked(count: int) -> list[tuple[str, list[str]]]:
    """Questions spread over all samples, each with passages of its own text and the texts after it.

    These texts are real: made-up words would be cut into more tokens than words of a language.
    """
    from qa_app.splitting.passages import split

    passages: list[str] = []
    asked: list[tuple[str, int]] = []
    for article in json.loads((SAMPLES / "questions.json").read_text(encoding="utf-8"))["data"]:
        asked += [
            (entry["question"], len(passages)) for paragraph in article["paragraphs"] for entry in paragraph["qas"]
        ]
        text = "\n\n".join(paragraph["context"] for paragraph in article["paragraphs"])
        passages += [text[span.start : span.end] for span in split(text, PASSAGE_WORDS, overlap=20)]
    chosen = [asked[number * len(asked) // count] for number in range(count)]
    return [(question, (passages + passages)[first : first + _PASSAGES]) for question, first in chosen]
