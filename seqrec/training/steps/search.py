"""Training of the query token: next items after a history and a request that describes them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from seqrec.evaluation.metrics import ndcg, recall
from seqrec.evaluation.protocol import Queries, find_hits
from seqrec.losses.catalog import catalog_cross_entropy
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.request_states import NO_HISTORY, PlacedRequests, states_with_requests
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.training.steps.targets import TargetPositions
from seqrec.training.tensors import PackedTensors

LIST_LENGTH = 10


class RequestVectors:
    """Requests that describe items, as vectors on the device of the batches."""

    def __init__(self, vectors: Float[Tensor, "N F"], of_item: Int[Tensor, "I R"]) -> None:
        """Store the requests.

        Args:
            vectors: of all requests.
            of_item: rows of ``vectors`` for every item; -1 where it has fewer requests.
        """
        self.vectors = vectors
        self.of_item = of_item

    def move_to(self, device: torch.device) -> None:
        """Move the vectors to a device, where they stay."""
        if self.vectors.device != device:
            self.vectors, self.of_item = self.vectors.to(device), self.of_item.to(device)

    def draw(self, items: Int[Tensor, " M"]) -> Float[Tensor, "M F"]:
        """Return the vector of a request of each item, drawn from torch's generator.

        Args:
            items: each has a request.
        """
        rows = self.of_item[items]
        drawn = torch.rand(len(items), device=items.device) * (rows >= 0).sum(dim=1)
        return self.vectors[rows.gather(1, drawn.long()[:, None]).squeeze(1)]

    def has_some(self, items: Int[Tensor, " M"]) -> Bool[Tensor, " M"]:
        """Return whether each item has a request."""
        return self.of_item[items, 0] >= 0


class PlacedTargets(NamedTuple):
    """Requests in packed histories, and what they ask for."""

    placed: PlacedRequests
    positions: Int[Tensor, " M"]
    """The flat position of every request's history; of one without a history, its own."""
    labels: Int[Tensor, " M"]
    weight: Float[Tensor, " M"]


def search_loss(
    model: SeqRecForNextItem,
    batch: PackedTensors,
    *,
    requests: RequestVectors,
    request_share: float,
    alone_share: float,
    chunk_size: int | None = None,
) -> Float[Tensor, ""]:
    """The mean cross-entropy in nats of next items after a history and a request for them.

    Only the query token learns: the states of histories are those of the start, without dropout.

    Args:
        model: the trained model, with a query token.
        batch: packed histories.
        requests: of the items.
        request_share: share of the positions that a request follows.
        alone_share: share of these requests that read no history.
        chunk_size: positions scored at once.
    """
    assert model.query_token is not None
    requests.move_to(batch.input_ids.device)
    targets = TargetPositions.of(batch)
    asked = place_requests(batch, targets, requests, request_share, alone_share)
    model.backbone.eval()
    weight = model.request_item_weight()
    with torch.no_grad():
        hidden = model.hidden_states(batch.input_ids, batch.documents)
        recent = model.recent_items(batch.input_ids, batch.documents)
        if recent is not None:
            is_alone = asked.placed.columns == NO_HISTORY
            recent = recent.flatten(0, 1)[asked.positions].masked_fill(is_alone[:, None], -1)
    if not len(asked.labels):  # a loss of nothing, with a gradient for every device
        return torch.stack([part.sum() for part in model.query_token.parameters()]).sum() * 0
    states = states_with_requests(model, hidden, batch.documents, asked.placed)
    scores = model.catalog_scores(states, recent, labels=asked.labels, item_weight=weight)
    return catalog_cross_entropy(
        scores.hidden,
        scores.item_weight,
        asked.labels,
        label_weight=asked.weight,
        logit_bias=scores.logit_bias,
        chunk_size=chunk_size,
    )


def place_requests(
    batch: PackedTensors,
    targets: TargetPositions,
    requests: RequestVectors,
    request_share: float,
    alone_share: float,
) -> PlacedTargets:
    """Return requests for the next items at some of the positions, row by row."""
    device = targets.labels.device
    is_asked = torch.rand(len(targets.labels), device=device) < request_share
    chosen = (is_asked & requests.has_some(targets.labels)).nonzero().squeeze(1)
    positions, labels = targets.positions[chosen], targets.labels[chosen]
    length = batch.input_ids.shape[1]
    rows = positions.div(length, rounding_mode="floor")
    is_alone = torch.rand(len(chosen), device=device) < alone_share
    columns = (positions % length).masked_fill(is_alone, NO_HISTORY)
    placed = PlacedRequests(requests.draw(labels), rows, columns)
    return PlacedTargets(placed, positions, labels, targets.weight[chosen])


class AskedQueries(NamedTuple):
    """Queries of validation, each with a request for its target."""

    queries: Queries
    vectors: Float[np.ndarray, "Q F"]


class RequestMetrics:
    """Recall and NDCG of targets that synthesised requests describe, by part and their mean."""

    def __init__(
        self,
        parts: dict[str, AskedQueries],
        ranker: Callable[[SeqRecForNextItem], ModelRanker],
    ) -> None:
        """Set the sources.

        Args:
            parts: queries and requests by name.
            ranker: returns the ranker of the model.
        """
        self.parts = parts
        self.ranker = ranker

    def __call__(self, model: SeqRecForNextItem) -> dict[str, float]:
        """Return ``NAME_recall@10`` and ``NAME_ndcg@10`` of parts, and of ``search``: the mean."""
        is_training = model.training
        model.eval()
        metrics = {}
        for name, part in self.parts.items():
            ranked = self.ranker(model).rank_with_requests(
                part.queries.histories, part.vectors, LIST_LENGTH
            )
            hits, num_targets = find_hits(ranked.items, part.queries.targets)
            for metric in (recall, ndcg):
                values = metric(hits, num_targets, LIST_LENGTH)
                metrics[f"{name}_{metric.__name__}@{LIST_LENGTH}"] = float(values.mean())
        model.train(is_training)
        for metric in (recall, ndcg):
            key = f"{metric.__name__}@{LIST_LENGTH}"
            found = [metrics[f"{name}_{key}"] for name in self.parts]
            metrics[f"search_{key}"] = sum(found) / len(found)
        return metrics
