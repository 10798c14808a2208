"""Vectors of cold-start items: a content projection fitted after training, scaled on validation.

Other weights of the trained model do not change.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
import torch.nn.functional as F
from lightning.fabric.utilities import move_data_to_device

from seqrec.losses.catalog import catalog_cross_entropy
from seqrec.models.content import ContentEmbedding
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.training.loaders import QueryLoader
from seqrec.training.optimizers import adamw, warmup_and_decay
from seqrec.training.steps.targets import TargetPositions, scores_at
from seqrec.training.tensors import PackedTensors
from seqrec.training.validation import validation_metrics

NUM_STEPS = 600
NUM_TARGETS = 1024
"""Largest number of targets of a step, drawn from its batch."""
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.1
INITIAL_STD = 0.02

SCALES = tuple(2 ** (power / 4) for power in range(-8, 5))
"""Factors on the fitted vectors, tried in this order until one costs too much."""
NUM_HALVINGS = 5


def learn_cold_items(
    model: SeqRecForNextItem,
    batches: Iterator[PackedTensors],
    *,
    row_dropout: float,
    content_dropout: float,
) -> None:
    """Fit ``proj_of_new``, which computes the vector of an item without a row from its content.

    The loss is the next-item cross-entropy at training positions, whose hidden states are fixed.
    At every step a random share of the known items are represented by ``proj_of_new`` of their
    content, the others by their own vectors. Only ``proj_of_new`` changes.

    Args:
        model: a trained model with content.
        batches: packed training histories, a batch per step.
        row_dropout: share of the known items that are represented by their content.
        content_dropout: share of the content's features dropped. Without it, some vectors of
            cold-start items are so long that they outrank better items.

    Source: Volkovs et al. 2017, "DropoutNet: Addressing Cold Start in Recommender Systems", for
        dropping the vectors of known items. DropoutNet does so during training, which costs
        accuracy on known items.
    """
    embedding = model.get_input_embeddings()
    assert isinstance(embedding, ContentEmbedding)
    device = embedding.content.device
    projection, num_met = embedding.proj_of_new, embedding.num_met
    content = embedding.content[:num_met]
    torch.nn.init.normal_(projection.weight, std=INITIAL_STD)
    torch.nn.init.zeros_(projection.bias)
    optimizer = adamw(projection, learning_rate=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = warmup_and_decay(optimizer, schedule="linear", warmup_steps=0, total_steps=NUM_STEPS)
    model.eval()
    with torch.no_grad():
        known = model.item_weight()[:num_met]
    for batch in islice(batches, NUM_STEPS):
        here = move_data_to_device(batch, device)
        targets = TargetPositions.of(here)
        if not len(targets.positions):
            continue
        drawn = torch.randperm(len(targets.positions))[:NUM_TARGETS].to(device)
        index, labels, label_weight = (part[drawn] for part in targets)
        with torch.no_grad():
            states = model.hidden_states(here.input_ids, here.documents, here.times)
        is_dropped = torch.rand(num_met, device=device) < row_dropout
        from_content = model.scale_vectors(projection(F.dropout(content, content_dropout)))
        vectors = torch.where(is_dropped[:, None], from_content, known)
        scores = scores_at(model, here, states.flatten(0, 1), index, labels, item_weight=vectors)
        loss = catalog_cross_entropy(
            scores.hidden,
            scores.item_weight,
            labels,
            label_weight=label_weight,
            logit_bias=scores.logit_bias,
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


class Scaled(NamedTuple):
    """The scale of the cold-start items' vectors."""

    scale: float
    cost: float
    """Relative loss of the selection metric against its best value."""
    validation: dict[str, float]
    """Metrics at this scale."""


@torch.no_grad()
def scale_cold_items(
    ranker: ModelRanker,
    validation: QueryLoader,
    selection_metric: str,
    ks: Sequence[int],
    max_cost: float,
) -> Scaled:
    """Scale the vectors of cold-start items up, to the largest cost that validation allows.

    Longer vectors rank these items higher, also above warm targets. The fitted scale stays if
    scores are cosines, or if the selection metric is 0.

    Args:
        ranker: ranks with the model, whose ``proj_of_new`` is scaled.
        validation: validation queries.
        selection_metric: the metric of the cost.
        ks: cut-offs of the metrics.
        max_cost: largest relative loss of the selection metric against its best value.

    Returns:
        The chosen scale, its cost and its metrics.
    """
    embedding = ranker.model.get_input_embeddings()
    assert isinstance(embedding, ContentEmbedding)
    fitted = [(part, part.clone()) for part in embedding.proj_of_new.parameters()]

    def set_scale(scale: float) -> None:
        for part, before in fitted:
            part.copy_(scale * before)

    def metrics_at(scale: float) -> dict[str, float]:
        set_scale(scale)
        return validation_metrics(ranker, validation, ks)

    best = validation_metrics(ranker.without_cold_items(), validation, ks)[selection_metric]
    if ranker.model.config.cosine_scale is not None or not best:
        metrics = metrics_at(1.0)
        return Scaled(1.0, 1 - metrics[selection_metric] / best if best else 0.0, metrics)
    tried: dict[float, dict[str, float]] = {}
    shorter, longer = 0.0, SCALES[-1]
    for scale in SCALES:
        tried[scale] = metrics_at(scale)
        best = max(best, tried[scale][selection_metric])
        if tried[scale][selection_metric] < (1 - max_cost) * best:
            longer = scale
            break
        shorter = scale
    for _ in range(NUM_HALVINGS if shorter < longer else 0):
        middle = (shorter + longer) / 2
        tried[middle] = metrics_at(middle)
        is_too_long = tried[middle][selection_metric] < (1 - max_cost) * best
        shorter, longer = (shorter, middle) if is_too_long else (middle, longer)
    if not shorter:
        tried[shorter] = metrics_at(shorter)
    set_scale(shorter)
    return Scaled(shorter, 1 - tried[shorter][selection_metric] / best, tried[shorter])
