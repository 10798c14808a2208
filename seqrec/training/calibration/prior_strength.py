"""How much a memory has to say beside a decoder that learned without it: validation decides."""

from collections.abc import Sequence

from seqrec.models.transition_prior import TransitionPrior
from seqrec.ranking.ranker import Ranker
from seqrec.training.loaders import QueryLoader
from seqrec.training.validation import validation_metrics

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0)


def choose_strength(
    ranker: Ranker,
    transition_prior: TransitionPrior,
    validation: QueryLoader,
    selection_metric: str,
    ks: Sequence[int],
) -> dict[str, float]:
    """Give the memory the strength under which the selection metric is highest.

    Strengths are tried from the smallest on, until the metric has fallen twice in a row.

    Args:
        ranker: asks the model that has the memory.
        memory: whose strength is chosen.
        validation: the queries.
        selection_metric: what counts.
        ks: cut-offs of the metrics.

    Returns:
        The validation's metrics under the strength.
    """
    tried: list[dict[str, float]] = []
    for strength in STRENGTHS:
        transition_prior.strength = strength
        tried.append(validation_metrics(ranker, validation, ks))
        last = [metrics[selection_metric] for metrics in tried[-3:]]
        if len(last) == 3 and last[0] > last[1] > last[2]:
            break
    best = max(range(len(tried)), key=lambda place: tried[place][selection_metric])
    transition_prior.strength = STRENGTHS[best]
    return tried[best]
