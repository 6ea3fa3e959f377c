"""What models say of passages while they are indexed, as metadata that both stores can filter by.

Haystack's nodes do the work; what they write is nested, and holds numpy's numbers. A passage costs a forward pass of
each model: some five to thirty milliseconds on two cores for one of the bundled reader's size.
"""

# No postponed annotations here: Haystack resolves a constructor's among its own names when it loads a pipeline file.

import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from haystack.nodes import EntityExtractor, TransformersDocumentClassifier
from haystack.schema import Document

from qa_app.errors import ModelError
from qa_app.reading.model_files import CLASSIFIER, ENTITIES, Purpose
from qa_app.reading.resolution import resolve

_BATCH = 32
#: Tokens of a passage that are looked at at once, where the model takes as many.
_TOKENS = 512
#: Elements of a list among metadata that stores keep; of a file with more, the most frequent are kept.
_VALUES = 256
#: Characters of the longest entity; what is longer is a mistake.
_LONGEST = 80
_KIND = re.compile(r"[\w.:/ -]{1,64}")


class _Enriching:
    """A node that adds metadata to passages, and to their files what is said of any of their passages.

    What a person or the file itself gave under the same name stays.
    """

    outgoing_edges = 1
    _lock: threading.Lock

    def values(self, documents: Sequence[Document]) -> list[dict[str, Any]]:
        """The metadata of each of some passages."""
        raise NotImplementedError

    #: Metadata that are not repeated in files.
    _passage_only: ClassVar[tuple[str, ...]] = ()

    def run(self, documents: list[Document], files: list[Document] | None = None) -> tuple[dict[str, Any], str]:
        order = sorted(range(len(documents)), key=lambda number: len(documents[number].content))
        said: defaultdict[str, defaultdict[str, Counter[Any]]] = defaultdict(lambda: defaultdict(Counter))
        given = {file.meta.get("file_id", file.id): set(file.meta) for file in files or []}
        for begin in range(0, len(order), _BATCH):
            some = [documents[number] for number in order[begin : begin + _BATCH]]
            # A tokenizer that two threads use at once fails.
            with self._lock:
                found = self.values(some)
            for document, values in zip(some, found):
                file = document.meta.get("file_id", "")
                values = {name: value for name, value in values.items() if name not in given.get(file, ())}
                document.meta.update(values)
                for name, value in values.items():
                    if name not in self._passage_only:
                        said[file][name].update(value if isinstance(value, list) else [value])
        for one in files or []:
            for name, counter in said[one.meta.get("file_id", one.id)].items():
                one.meta[name] = [value for value, _ in counter.most_common(_VALUES)]
        return {"documents": documents, **({} if files is None else {"files": files})}, "output_1"

    def run_batch(self, documents: list[Document], files: list[Document] | None = None) -> tuple[dict[str, Any], str]:
        return self.run(documents, files)

    def _dispatch_run_general(self, run_method: Any, **inputs: Any) -> tuple[dict[str, Any], str]:
        # Haystack copies a node's whole input; a batch of passages is large, and they are to be changed.
        output, edge = run_method(inputs.get("documents") or [], inputs.get("files"))
        return {**inputs, **output}, edge


class PassageClassifier(_Enriching, TransformersDocumentClassifier):
    """Gives every passage its ``label``, and ``label_score`` (0 to 1); a file has the labels of its passages.

    ``model`` is a hub name or a folder. A passage that is longer than the model takes is judged by its beginning.
    Raises ModelError.
    """

    _passage_only = ("label_score",)

    def __init__(self, model: str, use_gpu: bool = True) -> None:
        folder = _folder(model, CLASSIFIER)
        try:
            super().__init__(str(folder), use_gpu=use_gpu, batch_size=_BATCH, progress_bar=False)
        except Exception as error:
            raise _unfit(folder, error) from error
        self._lock = threading.Lock()
        self.model.tokenizer.model_max_length = _limit(self.model.tokenizer, self.model.model)

    def values(self, documents: Sequence[Document]) -> list[dict[str, Any]]:
        """The likeliest label of each."""
        texts = [Document(content=document.content) for document in documents]
        said = [document.meta["classification"] for document in self.predict(texts)]
        return [{"label": str(one["label"]), "label_score": round(float(one["score"]), 4)} for one in said]


class PassageEntities(_Enriching, EntityExtractor):
    """Gives every passage its ``entities``, the distinct texts, and those of each kind, as ``entity_PER``.

    A file has those of its passages, the 256 most frequent. ``model`` is a hub name or a folder. Raises ModelError.
    """

    def __init__(self, model: str, use_gpu: bool = True) -> None:
        folder = _folder(model, ENTITIES)
        try:
            super().__init__(str(folder), use_gpu=use_gpu, batch_size=_BATCH, progress_bar=False)
        except Exception as error:
            raise _unfit(folder, error) from error
        self._lock = threading.Lock()
        self.model.eval()
        self.max_seq_len = _limit(self.tokenizer, self.model)
        for label in self.model.config.id2label.values():
            if not _KIND.fullmatch(label):
                raise ModelError(f"{folder} has a label {label[:80]!r} that cannot be part of a metadata field's name")

    def values(self, documents: Sequence[Document]) -> list[dict[str, Any]]:
        """The entities of each."""
        texts = [document.content for document in documents]
        return [_flat(text, found) for text, found in zip(texts, self.extract_batch(texts, batch_size=_BATCH))]

    def preprocess(self, sentence: list[str]) -> Any:
        """Haystack's inputs, padded to the longest of them; its own are padded to the longest that the model takes."""
        inputs = self.tokenizer(
            sentence,
            return_tensors="pt",
            return_special_tokens_mask=True,
            return_offsets_mapping=True,
            return_overflowing_tokens=True,
            padding=True,
            truncation=True,
            max_length=self.max_seq_len,
        )
        inputs["sentence"] = sentence
        inputs["word_ids"] = [inputs.word_ids(number) for number in range(len(inputs["input_ids"]))]
        return inputs


def _flat(text: str, found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Entities by kind, each once, in the order of the text, and in the text's own words."""
    values: dict[str, dict[str, None]] = {"entities": {}}
    for entity in found:
        words = " ".join(text[int(entity["start"]) : int(entity["end"])].split())
        if 0 < len(words) <= _LONGEST and len(values["entities"]) < _VALUES:
            values["entities"][words] = None
            values.setdefault(f"entity_{entity['entity_group']}", {})[words] = None
    return {name: list(texts) for name, texts in values.items() if texts}


def _folder(model: str, purpose: Purpose) -> Path:
    return resolve(model, purpose).folder


def _limit(tokenizer: Any, model: Any) -> int:
    """Tokens that a model is given at once: a tokenizer may know no limit and the model have one."""
    positions = int(model.config.to_dict().get("max_position_embeddings", _TOKENS))
    return min(_TOKENS, positions, int(tokenizer.model_max_length))


def _unfit(folder: Path, error: Exception) -> ModelError:
    return ModelError(f"the model in {folder} cannot be loaded: {' '.join(str(error).split())[:300]}; choose another")
