"""What each operation answers, as the description of the API shows it."""

from __future__ import annotations

from typing import Any

ASKED = {"query": "How much did the PDP-8 cost?", "params": {"Retriever": {"top_k": 10}, "Reader": {"top_k": 3}}}
_META = {
    "name": "history.pdf",
    "path": "computing/history.pdf",
    "file_id": "4f0c9a7be2d84d1f9b3a6c5e7d8f9a01",
    "page": 8,
}
_DOCUMENT = {
    "id": "9f2c7a64e1d04b0c8f7d1f8b5a3e6c21",
    "content": "Digital Equipment sold its small PDP-8 from 1965 for 18,000 dollars.",
    "content_type": "text",
    "meta": {**_META, "start": 16243, "end": 16311},
    "id_hash_keys": ["content"],
}
_ANSWER = {
    "answer": "18,000 dollars",
    "type": "extractive",
    "score": 0.91,
    "context": _DOCUMENT["content"],
    "offsets_in_document": [{"start": 53, "end": 67}],
    "offsets_in_context": [{"start": 53, "end": 67}],
    "document_ids": [_DOCUMENT["id"]],
    "meta": {**_META, "answer_start": 16296, "answer_end": 16310, "answer_page": 8},
}
_ANSWERED = {"query": ASKED["query"], "answers": [_ANSWER], "documents": [{**_DOCUMENT, "score": 0.87}]}
_FILE = {
    "id": _META["file_id"],
    "name": "history.pdf",
    "path": "computing/history.pdf",
    "passages": 48,
    "size": 81234,
    "sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "media_type": "application/pdf",
    "pages": 12,
    "ingested_at": "2026-03-01T09:30:00Z",
    "meta": {"year": 2024},
}
_JOB = {
    "id": "0b7e2f4c6a8d4e1f9c3b5a7d9e0f1a2b",
    "status": "done",
    "message": "",
    "index": "documents",
    "created_at": "2026-03-01T09:30:00Z",
    "finished_at": "2026-03-01T09:30:01Z",
    "files": [
        {
            "name": "history.pdf",
            "size": 81234,
            "status": "indexed",
            "reason": None,
            "message": "",
            "file_id": _META["file_id"],
            "passages": 48,
        }
    ],
}
_LABEL = {
    "id": "5d0e8a3c1b2f4d6e8a9c0b1d2e3f4a5b",
    "query": ASKED["query"],
    "document": _DOCUMENT,
    "is_correct_answer": True,
    "is_correct_document": True,
    "origin": "user-feedback",
    "answer": _ANSWER,
    "pipeline_id": None,
    "created_at": "2026-03-01 09:30:00",
    "updated_at": "2026-03-01 09:30:00",
    "meta": {},
    "filters": None,
}
_SQUAD = {
    "data": [
        {
            "title": _DOCUMENT["id"],
            "paragraphs": [
                {
                    "context": _DOCUMENT["content"],
                    "id": _DOCUMENT["id"],
                    "qas": [
                        {
                            "question": ASKED["query"],
                            "id": _LABEL["id"],
                            "is_impossible": False,
                            "answers": [{"text": "18,000 dollars", "answer_start": 53}],
                        }
                    ],
                }
            ],
        }
    ]
}

#: Method and path -> the body of a success.
EXAMPLES: dict[tuple[str, str], Any] = {
    ("get", "/live"): {"version": "0.1.0"},
    ("get", "/ready"): {"ready": True, "missing": {}, "model": "deepset/minilm-uncased-squad2"},
    ("get", "/metrics"): "# TYPE qa_app_queue_waiting gauge\nqa_app_queue_waiting 0.0\n",
    ("get", "/initialized"): True,
    ("get", "/hs_version"): {"hs_version": "1.26.4.post0"},
    ("get", "/health"): {
        "version": "1.26.4.post0",
        "cpu": {"used": 12.5},
        "memory": {"used": 8.31},
        "gpus": [],
    },
    ("post", "/query"): _ANSWERED,
    ("post", "/query-batch"): {"results": [_ANSWERED]},
    ("post", "/search"): {"query": "price of the PDP-8", "documents": [{**_DOCUMENT, "score": 0.87}]},
    ("post", "/predict"): [
        {"score": 0.99, "start": 11, "end": 15, "answer": "John"},
        {"score": 0.98, "start": 30, "end": 39, "answer": "Hyderabad"},
    ],
    ("post", "/documents/get_by_filters"): [_DOCUMENT],
    ("post", "/documents/delete_by_filters"): True,
    ("post", "/documents/delete_all"): True,
    ("post", "/file-upload"): None,
    ("post", "/files"): {**_JOB, "status": "queued", "finished_at": None},
    ("get", "/jobs/{id}"): _JOB,
    ("get", "/jobs"): {"jobs": [_JOB]},
    ("get", "/facets"): {
        "facets": [{"field": "year", "kind": "number", "values": [{"value": 2024, "count": 12}], "others": 0}],
        "files": 46,
    },
    ("get", "/example-questions"): {
        "questions": [
            {
                "query": ASKED["query"],
                "answer": _ANSWER["answer"],
                "file_id": _FILE["id"],
                "name": _FILE["name"],
            }
        ]
    },
    ("get", "/files"): {"files": [_FILE], "total": 1, "next": None},
    ("get", "/files/{id}"): _FILE,
    ("get", "/files/{id}/text"): {
        "id": _FILE["id"],
        "text": _DOCUMENT["content"],
        "start": 0,
        "length": 68,
        "passages": [{"id": _DOCUMENT["id"], "start": 0, "end": 68, "page": 8, "heading": "From valves to silicon"}],
    },
    ("get", "/files/{id}/original"): "the bytes of the file",
    ("get", "/files/{id}/pages/{page}"): "the bytes of the picture",
    ("get", "/files/{id}/boxes"): {
        "boxes": [{"page": 8, "left": 0.12, "top": 0.4, "right": 0.31, "bottom": 0.42}],
        "exact": True,
    },
    ("delete", "/files/{id}"): {"id": _FILE["id"], "passages": 48},
    ("post", "/feedback"): None,
    ("get", "/feedback"): [_LABEL],
    ("delete", "/feedback"): None,
    ("post", "/eval-feedback"): {"answer_accuracy": 0.75, "document_accuracy": 1.0, "n_feedback": 4},
    ("get", "/export-feedback"): _SQUAD,
}
