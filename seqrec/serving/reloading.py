"""Reloads: at a signal, at a request, and when a pointer moves."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from seqrec.errors import SeqRecError
from seqrec.serving.metrics import Metrics
from seqrec.serving.served_models import LoadedModel, ModelPool, ModelSlot, elapsed_ms

logger = logging.getLogger(__name__)


def reload_slot(slot: ModelSlot, pool: ModelPool, metrics: Metrics) -> LoadedModel:
    """Load a model beside the one that answers, swap them, and log it.

    Raises:
        SeqRecError: it cannot be loaded; the old one still answers.
    """
    started = time.perf_counter()
    try:
        model = slot.reload()
    except SeqRecError as error:
        metrics.count_reload(slot.name, succeeded=False)
        refusal = {"fields": {"model": slot.name, "error": str(error)}}
        logger.error("model not loaded, the old one answers", extra=refusal)
        raise
    metrics.count_reload(slot.name, succeeded=True)
    metrics.set_models([one.current.identity for one in pool.slots.values() if one.is_loaded])
    fields: dict[str, Any] = {"model": slot.name, "ms": elapsed_ms(started)} | model.identity
    logger.info("model loaded", extra={"fields": fields})
    return model


def reload_all(
    pool: ModelPool, metrics: Metrics, chosen: Sequence[ModelSlot] | None = None
) -> None:
    """Load models anew in a thread of its own; those that cannot be loaded stay as they are.

    Args:
        pool: all models.
        metrics: counts the reloads.
        chosen: the models to load; None: all.
    """

    def run() -> None:
        for slot in pool.slots.values() if chosen is None else chosen:
            try:
                reload_slot(slot, pool, metrics)
            except SeqRecError:
                continue  # logged

    threading.Thread(target=run, name="seqrec-reload", daemon=True).start()


def watch_pointers(pool: ModelPool, metrics: Metrics) -> None:
    """Load the models whose pointers have moved since the last look."""
    moved = [slot for slot in pool.slots.values() if slot.has_moved()]
    if moved:
        reload_all(pool, metrics, moved)
