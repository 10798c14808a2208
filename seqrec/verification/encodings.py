"""The tokens of histories by three ways: as training packs them, as serving does, as text."""

from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from seqrec.ranking.recommender import Recommender
from seqrec.ranking.served import Reading
from seqrec.tokens.events.event_tokens import event_text
from seqrec.tokens.events.histories import EventHistories
from seqrec.tokens.events.times import TIME_COLUMN
from seqrec.tokens.streams.event_packing import pack_events
from seqrec.tokens.streams.examples import Examples
from seqrec.tokens.streams.packing import pack_batch
from seqrec.tokens.streams.placement import pack_rows
from seqrec.tokens.streams.windows import training_windows
from seqrec.tokens.tokenizer import history_text
from seqrec.verification.drawn_logs import DrawnLog
from seqrec.verification.rows import History, split_rows

IGNORED = -100


class _MasksNothing:
    """Stands for the generator of training's random masks; no draw is below any share."""

    def random(self, shape: Any) -> np.ndarray:
        return np.ones(shape)


class _Recorder:
    """Stands for a model, and keeps the inputs of every encoded history."""

    def __init__(self, model: Any) -> None:
        self.config = model.config
        self.device = torch.device("cpu")
        self.histories: list[History] = []

    def document_states(
        self, input_ids: Tensor, documents: Tensor, times: Tensor | None = None
    ) -> Tensor:
        """Return the number of every history, as a state of width 1."""
        arrays = {"input_ids": input_ids.numpy()}
        if times is not None:
            arrays["times"] = times.numpy()
        first = len(self.histories)
        self.histories += split_rows(arrays, documents.numpy())
        return torch.arange(first, len(self.histories), dtype=torch.float64)[:, None]


def record_inputs(recommender: Recommender, histories: Any) -> list[History]:
    """Return what the model is given when the recommender encodes each history."""
    recorder, ranker = _Recorder(recommender.model), copy(recommender)
    vars(ranker)["model"] = recorder
    numbers = ranker.encode(histories)[:, 0].long().tolist()
    return [recorder.histories[number] for number in numbers]


def serving_inputs(recommender: Recommender, log: DrawnLog) -> list[History]:
    """Return the inputs that requests give, whose conditions are the targets' features."""
    histories = recommender.serve().read(log.requests, Reading({}, plan=False)).histories
    if isinstance(histories, EventHistories) and log.codes is not None:
        when = log.histories.columns.get(TIME_COLUMN)
        histories = replace(
            histories,
            conditions=log.codes[log.targets],
            target_times=None if when is None else when[log.targets],
        )
    return record_inputs(recommender, histories)


def training_inputs(recommender: Recommender, log: DrawnLog) -> dict[int, History]:
    """Return the inputs of the last window of every history, by history, as training packs them.

    A history that the grammar leaves without events has no window.
    """
    events, max_length = recommender.events, recommender.model.config.max_length
    if events is not None:
        log = log.shortened(events.grammar)
    histories = log.histories
    starts, ends = histories.offsets[:-1], histories.offsets[1:]
    windows = training_windows(starts, ends, max_length, "last")
    owners = np.flatnonzero(ends - starts >= 2)
    row_length = int(windows.lengths.max())
    rows = pack_rows(windows.lengths, row_length)
    times = None if events is None or events.grammar.times is None else TIME_COLUMN
    examples = Examples(
        histories.items.astype(np.int64),
        np.ones(len(histories.items), dtype=np.float32),
        windows,
        log.codes,
        times=None if times is None else histories.columns[times],
    )
    shape: dict[str, int] = {"row_length": row_length, "ignore_index": IGNORED}
    if events is None:
        batch = pack_batch(examples, rows, recommender.tokens, **shape)
    else:
        masks: Any = _MasksNothing()
        batch = pack_events(examples, rows, events, masks, **shape)
    arrays = {"input_ids": batch.input_ids}
    if batch.times is not None:
        arrays["times"] = batch.times
    found = split_rows(arrays, batch.documents)
    order = owners[[window for row in rows for window in row]].tolist()
    return dict(zip(order, found, strict=True))


def text_inputs(
    recommender: Recommender, tokenizer: Any, log: DrawnLog
) -> list[Int[np.ndarray, " T"]]:
    """Return the tokens that a tokenizer finds in every history written as text."""
    events, max_length = recommender.events, recommender.model.config.max_length
    if events is not None:
        log = log.shortened(events.grammar)
    texts = []
    ids, offsets = np.array(recommender.item_ids, dtype=object), log.histories.offsets.tolist()
    for start, end in zip(offsets[:-1], offsets[1:], strict=True):
        read = slice(max(start, end - 1 - max_length), end - 1)
        item_ids = ids[log.histories.items[read]].tolist()
        if events is None or log.codes is None:
            texts.append(history_text(item_ids))
            continue
        following = slice(read.start + 1, read.stop + 1)
        blocks = events.block_codes(log.codes[read], log.codes[following])
        texts.append(event_text(events.grammar, item_ids, blocks))
    found = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return [np.array(tokens, dtype=np.int64) for tokens in found]
