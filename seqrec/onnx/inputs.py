"""Inputs of a decoder's graph: tokens of histories, in calls of histories of similar length."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int64

from seqrec.ranking.model_ranker import ModelRanker
from seqrec.tokens.events.times import NO_TIME

CALL_POSITIONS = 64
"""Positions whose computation takes about as long as another call."""


class TokenRows(NamedTuple):
    """The tokens of histories."""

    input_ids: list[Int[np.ndarray, " T"]]
    times: list[Int64[np.ndarray, "T 2"]] | None
    """Event time and reference time of each token, for models with a time bias."""


def tokenize(ranker: ModelRanker, histories: Sequence[Int[np.ndarray, " T"]]) -> TokenRows:
    """Return the tokens that a model reads of histories; an empty one is a single unknown item."""
    max_length = ranker.model.config.max_length
    if ranker.events is None:
        recent = [history[-max_length:] if len(history) else [-1] for history in histories]
        cuts = np.cumsum([len(history) for history in recent])[:-1]
        tokens = ranker.tokens.encode(np.concatenate(recent))
        return TokenRows([block.reshape(-1) for block in np.split(tokens, cuts)], None)
    flat, times = ranker.events.flatten(histories, max_length), None
    cuts = np.cumsum(flat.lengths)[:-1]
    blocks = np.split(ranker.events.encode(flat.items, flat.codes), cuts)
    if flat.times is not None:
        parts = np.split(ranker.events.token_times(flat.times), cuts)
        times = [part.reshape(-1, 2) for part in parts]
    return TokenRows([block.reshape(-1) for block in blocks], times)


def group_by_length(
    lengths: Int[np.ndarray, " B"], max_positions: int
) -> list[Int[np.ndarray, " R"]]:
    """Return the rows of each call, which are padded to the longest one of their call.

    Rows come by length. A call ends where the next row would add more padding than another call
    costs.

    Args:
        lengths: tokens of every row.
        max_positions: tokens of a call, with padding, unless a single row has more.
    """
    order, groups, start = np.argsort(lengths, kind="stable"), [], 0
    by_length = lengths[order].tolist()
    for stop in range(1, len(order)):
        number, added = stop - start, by_length[stop] - by_length[stop - 1]
        is_full = by_length[stop] * (number + 1) > max_positions
        if is_full or number * added > CALL_POSITIONS:
            groups.append(order[start:stop])
            start = stop
    return [*groups, order[start:]] if len(order) else []


def pad(tokens: TokenRows, rows: Int[np.ndarray, " R"], pad_token: int) -> dict[str, np.ndarray]:
    """Return the graph's inputs for some histories."""
    parts = [tokens.input_ids[row] for row in rows]
    lengths = np.array([len(part) for part in parts])
    is_token = np.arange(lengths.max()) < lengths[:, None]
    input_ids = np.full(is_token.shape, pad_token, dtype=np.int64)
    input_ids[is_token] = np.concatenate(parts)
    inputs: dict[str, np.ndarray] = {
        "input_ids": input_ids,
        "attention_mask": is_token.astype(np.int64),
    }
    if tokens.times is not None:
        times = np.full((*is_token.shape, 2), NO_TIME, dtype=np.int64)
        times[is_token] = np.concatenate([tokens.times[row] for row in rows])
        inputs["times"] = times
    return inputs
