"""Titles that training never met: what their content says, and how loudly.

Both are settled when the model has learned, and change nothing that it does with known titles.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
import torch.nn.functional as F

from seqrec.losses.catalog import IGNORE_INDEX, catalog_cross_entropy
from seqrec.models.content import ContentEmbedding
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.rankers import Ranker
from seqrec.training.loaders import QueryLoader
from seqrec.training.optimizers import adamw, warmup_and_decay
from seqrec.training.sft import PackedTensors
from seqrec.training.validation import validation_metrics

NUM_STEPS = 600
NUM_TARGETS = 1024
"""Of a step, drawn from its batch."""
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.1
INITIAL_STD = 0.02

SCALES = tuple(2 ** (power / 2) for power in range(-4, 7))
"""What is tried one after the other, until one costs too much."""
NUM_HALVINGS = 6


def learn_new_titles(
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
        known = model.learned_item_weight()
    for batch in islice(batches, NUM_STEPS):
        input_ids, documents, labels, label_weight = (part.to(device) for part in batch[:4])
        times = None if batch.times is None else batch.times.to(device)
        is_learned = ((labels != IGNORE_INDEX) & (label_weight > 0)).flatten()
        place = is_learned.nonzero().squeeze(1)
        place = place[torch.randperm(len(place))[:NUM_TARGETS].to(device)]
        if not len(place):
            continue
        with torch.no_grad():
            states = model.hidden_states(input_ids, documents, times).flatten(0, 1)[place]
        is_left_out = torch.rand(num_met, device=device) < row_dropout
        said = model.scaled(projection(F.dropout(content, content_dropout)))
        loss = catalog_cross_entropy(
            states,
            torch.where(is_left_out[:, None], said, known),
            labels.flatten()[place],
            label_weight=label_weight.flatten()[place],
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


class Scaled(NamedTuple):
    """How long new titles' vectors were made."""

    scale: float
    cost: float
    """What share of its best value the selection metric lost."""
    validation: dict[str, float]
    """Its metrics."""


@torch.no_grad()
def scale_new_titles(
    ranker: Ranker,
    embedding: ContentEmbedding,
    validation: QueryLoader,
    selection_metric: str,
    ks: Sequence[int],
    max_cost: float,
) -> Scaled:
    """Make new titles' vectors as long as validation allows.

    Longer vectors win new titles more places, which targets that are known lose.

    Args:
        ranker: asks the model.
        embedding: the model's, whose ``proj_of_new`` is scaled.
        validation: the queries.
        selection_metric: what counts.
        ks: cut-offs of the metrics.
        max_cost: what share of its best value the metric may lose.

    Returns:
        What was settled on.
    """
    fitted = [(part, part.clone()) for part in embedding.proj_of_new.parameters()]

    def set_scale(scale: float) -> None:
        for part, before in fitted:
            part.copy_(scale * before)

    def judged(scale: float) -> dict[str, float]:
        set_scale(scale)
        return validation_metrics(ranker, validation, ks)

    scale, kept = 0.0, judged(0.0)
    best = kept[selection_metric]
    for longer in SCALES:
        metrics = judged(longer)
        best = max(best, metrics[selection_metric])
        if metrics[selection_metric] < (1 - max_cost) * best:
            break
        scale, kept = longer, metrics
    if scale < longer:
        for _ in range(NUM_HALVINGS):
            middle = (scale + longer) / 2
            metrics = judged(middle)
            if metrics[selection_metric] < (1 - max_cost) * best:
                longer = middle
            else:
                scale, kept = middle, metrics
    set_scale(scale)
    return Scaled(scale, 1 - kept[selection_metric] / best if best else 0.0, kept)
