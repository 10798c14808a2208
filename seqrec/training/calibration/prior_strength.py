"""The strength of a transition prior beside a decoder that was trained without it."""

from collections.abc import Sequence

from seqrec.models.transition_prior.counts import TransitionPrior
from seqrec.ranking.ranker import Ranker
from seqrec.training.loaders import QueryLoader
from seqrec.training.validation import validation_metrics

STRENGTHS = (
    0.0,
    0.1,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.8,
    1.0,
    1.3,
    1.6,
    2.0,
    2.5,
    3.2,
    4.0,
    5.0,
    6.4,
    8.0,
)


def choose_strength(
    ranker: Ranker,
    transition_prior: TransitionPrior,
    validation: QueryLoader,
    selection_metric: str,
    ks: Sequence[int],
) -> dict[str, float]:
    """Set the strength with the highest selection metric on validation.

    Strengths are tried in ascending order, until the metric has fallen twice in a row.

    Args:
        ranker: ranks with the model of the prior.
        transition_prior: the prior whose strength is set.
        validation: validation queries.
        selection_metric: the metric that selects the strength.
        ks: cut-offs of the metrics.

    Returns:
        The validation metrics at the chosen strength.
    """
    tried: list[dict[str, float]] = []
    for strength in STRENGTHS:
        transition_prior.strength = strength
        tried.append(validation_metrics(ranker, validation, ks))
        last = [metrics[selection_metric] for metrics in tried[-3:]]
        if len(last) == 3 and last[0] > last[1] > last[2]:
            break
    best = max(range(len(tried)), key=lambda index: tried[index][selection_metric])
    transition_prior.strength = STRENGTHS[best]
    return tried[best]
