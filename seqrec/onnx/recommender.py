"""A recommender whose histories are encoded by ONNX Runtime."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from seqrec.errors import SeqRecError, refuse_unreadable
from seqrec.onnx.graph import EXTRA
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.events.times import NO_TIME


class OnnxRecommender(Recommender):
    """Ranks as the recommender that it is made from, with states from a graph of its model.

    The item vectors and the transition prior are the model's. Plans and likelihoods of event
    features are computed by PyTorch.
    """

    def __init__(self, own: Recommender, session: Any) -> None:
        """Store the recommender and the graph.

        Args:
            own: the recommender of the model.
            session: ONNX Runtime's session of the graph.
        """
        super().__init__(
            own.name,
            own.model,
            own.tokens,
            own.items,
            own.catalog_fingerprint,
            own.events,
            own.folder,
        )
        self.session = session

    @torch.inference_mode()
    def encode(self, histories: Sequence[Int[np.ndarray, " T"]]) -> Float[Tensor, "B D"]:
        tokens = tokenize(self, histories)
        lengths = np.array([len(row) for row in tokens.input_ids])
        order = np.argsort(lengths, kind="stable")
        states = np.empty((len(order), self.width), dtype=np.float32)
        start = 0
        while start < len(order):
            stop = start + 1
            while stop < len(order) and (  # rows are padded to the longest, which comes last
                lengths[order[stop]] * (stop + 1 - start) <= self.encoded_positions
            ):
                stop += 1
            rows = order[start:stop]
            with refuse_unreadable(f"{self.name}: the graph", "export again"):
                inputs = _pad(tokens, rows, self.tokens.pad_token_id)
                (states[rows],) = self.session.run(None, inputs)
            start = stop
        return torch.from_numpy(states)


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


def _pad(tokens: TokenRows, rows: Int[np.ndarray, " R"], pad: int) -> dict[str, np.ndarray]:
    """Return the graph's inputs for some histories."""
    parts = [tokens.input_ids[row] for row in rows]
    shape = len(parts), max(len(part) for part in parts)
    input_ids = np.full(shape, pad, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    for number, part in enumerate(parts):
        input_ids[number, : len(part)] = part
        mask[number, : len(part)] = 1
    inputs: dict[str, np.ndarray] = {"input_ids": input_ids, "attention_mask": mask}
    if tokens.times is not None:
        times = np.full((*shape, 2), NO_TIME, dtype=np.int64)
        for number, row in enumerate(rows):
            times[number, : len(tokens.times[row])] = tokens.times[row]
        inputs["times"] = times
    return inputs


def open_session(file: Path) -> Any:
    """Return ONNX Runtime's session of a graph on the CPU, with as many threads as PyTorch has.

    Raises:
        SeqRecError: the package is missing, or the file is.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise SeqRecError(f"{file}: needs onnxruntime; {EXTRA}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    with refuse_unreadable(str(file), "export again"):
        return onnxruntime.InferenceSession(
            str(file), sess_options=options, providers=["CPUExecutionProvider"]
        )
