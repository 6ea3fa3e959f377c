"""What Prometheus is told."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one process; a balancer's processes are asked each for its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "qa_app_requests", "Requests answered", ["method", "path", "status"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "qa_app_request_seconds",
            "Seconds until a response was complete",
            ["path"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.retriever_seconds = Histogram(
            "qa_app_retriever_seconds", "Seconds of retrieval for a question", buckets=_SECONDS, registry=self.registry
        )
        self.reader_seconds = Histogram(
            "qa_app_reader_seconds", "Seconds of reading for a question", buckets=_SECONDS, registry=self.registry
        )
        self.batch = Histogram(
            "qa_app_reader_batch", "Questions read at once", buckets=(1, 2, 4, 8, 16, 32), registry=self.registry
        )
        self.waiting = Gauge("qa_app_queue_waiting", "Requests that wait for the reader", registry=self.registry)
        self.reading = Gauge("qa_app_queue_reading", "Requests that the reader is at", registry=self.registry)
        self.jobs = Gauge("qa_app_jobs_unfinished", "Uploads that are not indexed yet", registry=self.registry)
        self.passages = Gauge("qa_app_passages", "Passages in the default index", registry=self.registry)
        self.ready = Gauge("qa_app_ready", "Whether questions can be answered", registry=self.registry)
        self.model = Info("qa_app_model", "The reader's model in use", registry=self.registry)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
