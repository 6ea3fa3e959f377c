"""What an ingestion did, file by file."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class FileResult:
    """One file's end; ``status`` is indexed, unchanged, rejected, removed or skipped."""

    path: str
    status: str
    reason: str | None = None
    message: str = ""
    passages: int = 0


@dataclass
class Report:
    """All results of one ingestion, in the order they came."""

    files: list[FileResult] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def counts(self) -> dict[str, int]:
        """Files by status."""
        return dict(Counter(result.status for result in self.files))

    @property
    def passages(self) -> int:
        """Passages written."""
        return sum(result.passages for result in self.files)

    @property
    def rejected(self) -> list[FileResult]:
        """The files that were not taken, with reasons."""
        return [result for result in self.files if result.status == "rejected"]

    def to_dict(self) -> dict[str, Any]:
        """As JSON: counts by status, ``passages``, ``seconds``, and ``files`` sorted by path."""
        return {
            **{
                status: self.counts.get(status, 0)
                for status in ("indexed", "unchanged", "rejected", "removed", "skipped")
            },
            "passages": self.passages,
            "seconds": round(self.seconds, 3),
            "files": [asdict(result) for result in sorted(self.files, key=lambda result: result.path)],
        }
