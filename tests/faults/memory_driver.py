"""Reads a hundred long passages in too little memory and in little; prints what came of it.

Run as a process of its own, whose address space it bounds. Argument: the engine.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from haystack.schema import Document

from qa_app.errors import QaAppError
from qa_app.reading.engines import TorchEngine
from qa_app.reading.reader import PassageReader

QUESTION = "Who built the bridge?"
SHORT = [Document(content="The bridge was built by Anna Berg in 1950.", id="short")]
LONG = [
    Document(content=f"Passage {n} tells of roads and of hills. " * 30 + "Anna Berg built it." * (n == 77), id=str(n))
    for n in range(100)
]
#: Megabytes that reading in parts can do with, but not reading all at once.
LITTLE = 400
#: Enough for tokens and notes on them, whose native code ends the process where memory fails, but for no batch.
TOO_LITTLE = 30


def allow(megabytes: int | None) -> None:
    """Bounds the memory that may be added to what is in use; None lifts the bound."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bound = resource.RLIM_INFINITY if megabytes is None else pages * resource.getpagesize() + (megabytes << 20)
    resource.setrlimit(resource.RLIMIT_AS, (bound, resource.RLIM_INFINITY))


def main() -> None:
    """See the module's docstring."""
    reader = PassageReader("bundled", engine=sys.argv[1])

    def asked(documents: list[Document]) -> object:
        try:
            return [(one.answer, one.score) for one in reader.predict(QUESTION, documents)["answers"]]
        except QaAppError as error:
            return f"{error.code}: {error}"

    said = {"before": asked(SHORT)}
    allow(TOO_LITTLE)
    said["in too little"] = asked(LONG)
    allow(None)
    said["after too little"] = asked(SHORT)
    allow(LITTLE)
    said["in parts"] = asked(LONG)
    if isinstance(reader.inferencer.engine, TorchEngine):
        usual, reader.inferencer.engine._batch_size = reader.inferencer.engine._batch_size, 10_000
        said["at once"] = asked(LONG)
        reader.inferencer.engine._batch_size = usual
    said["after all"] = asked(SHORT)
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
