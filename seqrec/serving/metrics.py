"""Counters of a server, in the text format of Prometheus."""

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The numbers that ``GET /metrics`` shows."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "seqrec_requests", "Answered requests.", ["route", "status"], registry=registry
        )
        self._refusals = Counter(
            "seqrec_refusals", "Requests refused unread under load.", registry=registry
        )
        self._seconds = Histogram(
            "seqrec_request_seconds",
            "Seconds from the headers of a request to the end of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self._batches = Histogram(
            "seqrec_batch_histories", "Histories of a batch.", buckets=SIZES, registry=registry
        )
        self._model_seconds = Histogram(
            "seqrec_batch_seconds", "Seconds of a batch.", buckets=SECONDS, registry=registry
        )
        self._depth = Gauge("seqrec_queue_histories", "Histories that wait.", registry=registry)
        self._reloads = Counter(
            "seqrec_reloads", "Models loaded anew.", ["model", "result"], registry=registry
        )
        self._models = Gauge(
            "seqrec_model",
            "1 for the models that answer.",
            ["model", "fingerprint", "version"],
            registry=registry,
        )

    def watch_queue(self, get_depth: Callable[[], int]) -> None:
        """Read the length of the queue when it is asked for."""
        self._depth.set_function(get_depth)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_refusal(self) -> None:
        """Count a request that was refused unread; it is not among the answered ones."""
        self._refusals.inc()

    def count_batch(self, histories: int, seconds: float) -> None:
        """Count a batch of histories."""
        self._batches.observe(histories)
        self._model_seconds.observe(seconds)

    def count_reload(self, model: str, *, succeeded: bool) -> None:
        """Count a model that was loaded anew, or could not be."""
        self._reloads.labels(model, "loaded" if succeeded else "refused").inc()

    def set_models(self, identities: list[dict[str, str]]) -> None:
        """Name the models that answer."""
        self._models.clear()
        for one in identities:
            self._models.labels(one["name"], one["fingerprint"], one["version"]).set(1)

    def format(self) -> bytes:
        """Return all counters as text."""
        return generate_latest(self._registry)
