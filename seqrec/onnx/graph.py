"""The graph of a decoder: tokens of histories in, their last states out."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from seqrec.errors import SeqRecError, first_line
from seqrec.models.content import ContentEmbedding
from seqrec.models.documents import additive_mask
from seqrec.models.ensemble import EnsembleDecoder
from seqrec.models.native.decoder import SeqRecDecoder
from seqrec.models.native.time_bias import EDGES, UNKNOWN_GAP
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.onnx.session import EXTRA
from seqrec.tokens.events.times import NO_TIME

OPSET = 20
MAX_FILE_BYTES = 1 << 30
"""Weights from this size on lie in a file beside the graph: one file of ONNX holds 2 GiB."""


class HistoryGraph(nn.Module):
    """A model's ``document_states`` for one history a row, padded on the right.

    Every step has an ONNX operator, and no shape depends on values.
    """

    edges: Int[Tensor, " E"]

    def __init__(self, model: SeqRecForNextItem) -> None:
        super().__init__()
        self.backbone = model.backbone
        tokens = model.get_input_embeddings()
        if isinstance(tokens, ContentEmbedding):
            tokens = nn.Embedding.from_pretrained(tokens.table())
        self.tokens = tokens
        self.tokens_per_position = model.config.tokens_per_position
        self.is_causal = model.config.causal
        self.reads_times = model.config.time_bias is not None
        self.read_out = model.read_out
        self.register_buffer("edges", torch.tensor(EDGES), persistent=False)

    def forward(
        self,
        input_ids: Int[Tensor, "B T"],
        attention_mask: Int[Tensor, "B T"],
        times: Int[Tensor, "B T 2"] | None = None,
    ) -> Float[Tensor, "B D"]:
        """Return the state after every history.

        Args:
            input_ids: tokens; the padding token after the last one of a history.
            attention_mask: 1 at the tokens of a history, 0 at padding.
            times: event time and reference time of each token, for models with a time bias.
        """
        size = self.tokens_per_position
        vectors = self.tokens(input_ids)
        if size > 1:
            vectors = vectors.unflatten(1, (-1, size)).sum(dim=2)
        is_token = attention_mask[:, ::size] > 0
        columns = torch.arange(is_token.shape[1], device=is_token.device)
        allowed = is_token[:, None, :].expand(-1, is_token.shape[1], -1)
        if self.is_causal:
            allowed = allowed & (columns[:, None] >= columns)
        more = {}
        if self.reads_times and times is not None:
            more["gaps"] = self._find_gaps(times[:, size - 1 :: size])
        last = is_token.sum(dim=1, keepdim=True) - 1
        return self.read_out(self._decode(vectors, allowed, columns, last, more))

    def _decode(
        self,
        vectors: Float[Tensor, "B P D"],
        allowed: Bool[Tensor, "B P P"],
        columns: Int[Tensor, " P"],
        last: Int[Tensor, "B 1"],
        more: dict[str, Tensor],
    ) -> Float[Tensor, "B D"]:
        inputs = {
            "inputs_embeds": vectors,
            "attention_mask": additive_mask(allowed, vectors.dtype),
            "position_ids": columns.expand(vectors.shape[:2]),
        }
        if isinstance(self.backbone, SeqRecDecoder | EnsembleDecoder):
            output = self.backbone(**inputs, **more, query_positions=last)
            return output.last_hidden_state[:, 0]
        states = self.backbone(**inputs).last_hidden_state
        return states.gather(1, last[:, :, None].expand(-1, -1, states.shape[2]))[:, 0]

    def _find_gaps(self, times: Int[Tensor, "B P 2"]) -> Int[Tensor, "B P P"]:
        """Return ``gap_buckets``, by a bisection of as many steps for every gap."""
        key_time, query_time = times.unbind(dim=2)
        gap = query_time[:, :, None] - key_time[:, None, :]
        bucket = torch.zeros_like(gap)
        step = (len(EDGES) + 1) // 2
        while step:
            bucket = bucket + step * (gap >= self.edges[bucket + (step - 1)])
            step //= 2
        is_unknown = (query_time == NO_TIME)[:, :, None] | (key_time == NO_TIME)[:, None, :]
        return bucket.masked_fill(is_unknown, UNKNOWN_GAP)


@torch.no_grad()
def write_graph(model: SeqRecForNextItem, file: Path) -> list[Path]:
    """Write the graph of a model in evaluation mode, and return its files.

    Raises:
        SeqRecError: a package is missing, or the backbone cannot be written as ONNX.
    """
    graph, config = HistoryGraph(model).eval(), model.config
    size = config.tokens_per_event
    input_ids = torch.full((2, 2 * size), model.pad_token_id)
    inputs = [input_ids, torch.ones_like(input_ids)]
    if graph.reads_times:
        inputs.append(torch.zeros(*input_ids.shape, 2, dtype=torch.int64))
    batch = torch.export.Dim("batch", min=1)
    length = size * torch.export.Dim("length", min=1, max=max(config.max_length, 3))
    num_bytes = sum(p.numel() * p.element_size() for p in graph.state_dict().values())
    try:
        with _without_notes():
            torch.onnx.export(
                graph,
                tuple(inputs),
                str(file),
                input_names=get_input_names(model),
                output_names=["state"],
                dynamic_shapes=tuple({0: batch, 1: length} for _ in inputs),
                opset_version=OPSET,
                dynamo=True,
                external_data=num_bytes >= MAX_FILE_BYTES,
                verbose=False,
            )
    except ImportError as error:
        raise SeqRecError(f"--to onnx: needs onnx and onnxscript; {EXTRA}") from error
    except Exception as error:  # the exporter raises errors of many classes
        kind = getattr(model.config.backbone_config, "model_type", "unknown")
        raise SeqRecError(
            f"--to onnx: a backbone of type {kind} cannot be written: {first_line(error)}; export "
            "its vectors with --to parquet"
        ) from error
    return sorted(file.parent.glob(f"{file.name}*"))


def get_input_names(model: SeqRecForNextItem) -> list[str]:
    """Return the names of the graph's inputs."""
    names = ["input_ids", "attention_mask"]
    return names if model.config.time_bias is None else [*names, "times"]


@contextmanager
def _without_notes() -> Iterator[None]:
    """Silence the exporter's notes on itself: renamed axes, packages that it can do without."""
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter.setLevel(level)
