"""Titles that training never met: what their content says, and how loudly.

Both are settled when the model has learned, whose weights stay as they are.
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
"""Of a step, drawn from its batch."""
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.1
INITIAL_STD = 0.02

SCALES = tuple(2 ** (power / 4) for power in range(-8, 5))
"""From a quarter to twice as long: tried one after the other, until one costs too much."""
NUM_HALVINGS = 5


def learn_cold_items(
    model: SeqRecForNextItem,
    batches: Iterator[PackedTensors],
    *,
    row_dropout: float,
    content_dropout: float,
) -> None:
    """Fit ``proj_of_new``: what content says of a title that has no row.

    The next-item cross-entropy of training positions, whose states are given. Of the known titles
    a share, drawn anew at every step, are what ``proj_of_new`` makes of their content; the others'
    vectors are given. Nothing but ``proj_of_new`` changes.

    Args:
        model: one with content, which has learned.
        batches: packed training histories; as many are taken as there are steps.
        row_dropout: the share of titles that content alone speaks for.
        content_dropout: share of the contents' features dropped. Without, some vectors of new
            titles are so long that they outrank better titles.

    Source: Volkovs et al. 2017, "DropoutNet: Addressing Cold Start in Recommender Systems", for
        leaving out what is known of titles; there it is done while the model learns, which costs
        known titles.
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
        targets = TargetPositions.of(here.labels, here.label_weight)
        if not len(targets.positions):
            continue
        drawn = torch.randperm(len(targets.positions))[:NUM_TARGETS].to(device)
        index, labels, label_weight = (part[drawn] for part in targets)
        with torch.no_grad():
            states = model.hidden_states(here.input_ids, here.documents, here.times)
        is_left_out = torch.rand(num_met, device=device) < row_dropout
        said = model.scaled(projection(F.dropout(content, content_dropout)))
        vectors = torch.where(is_left_out[:, None], said, known)
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
    """How long new titles' vectors were made."""

    scale: float
    cost: float
    """What share the selection metric lost of its best value, such as that without new titles."""
    validation: dict[str, float]
    """Its metrics."""


@torch.no_grad()
def scale_cold_items(
    ranker: ModelRanker,
    validation: QueryLoader,
    selection_metric: str,
    ks: Sequence[int],
    max_cost: float,
) -> Scaled:
    """Make new titles' vectors as long as validation allows.

    Longer vectors win new titles more places, which targets that are known lose. If the scores are
    cosines, or no target is found at all, the vectors stay as they were fitted.

    Args:
        ranker: asks the model, whose ``proj_of_new`` is scaled.
        validation: the queries.
        selection_metric: what counts.
        ks: cut-offs of the metrics.
        max_cost: what share of its best value the metric may lose.

    Returns:
        What was settled on.
    """
    embedding = ranker.model.get_input_embeddings()
    assert isinstance(embedding, ContentEmbedding)
    fitted = [(part, part.clone()) for part in embedding.proj_of_new.parameters()]

    def set_scale(scale: float) -> None:
        for part, before in fitted:
            part.copy_(scale * before)

    def judged(scale: float) -> dict[str, float]:
        set_scale(scale)
        return validation_metrics(ranker, validation, ks)

    with ranker.without_cold_items():
        best = validation_metrics(ranker, validation, ks)[selection_metric]
    if ranker.model.config.cosine_scale is not None or not best:
        metrics = judged(1.0)
        return Scaled(1.0, 1 - metrics[selection_metric] / best if best else 0.0, metrics)
    tried: dict[float, dict[str, float]] = {}
    shorter, longer = 0.0, SCALES[-1]
    for scale in SCALES:
        tried[scale] = judged(scale)
        best = max(best, tried[scale][selection_metric])
        if tried[scale][selection_metric] < (1 - max_cost) * best:
            longer = scale
            break
        shorter = scale
    for _ in range(NUM_HALVINGS if shorter < longer else 0):
        middle = (shorter + longer) / 2
        tried[middle] = judged(middle)
        is_too_long = tried[middle][selection_metric] < (1 - max_cost) * best
        shorter, longer = (shorter, middle) if is_too_long else (middle, longer)
    if not shorter:
        tried[shorter] = judged(shorter)
    set_scale(shorter)
    return Scaled(shorter, 1 - tried[shorter][selection_metric] / best, tried[shorter])
