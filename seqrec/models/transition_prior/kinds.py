"""Transition priors by name, as a model's configuration holds them."""

from typing import Any

from seqrec.models.transition_prior.counts import TransitionPrior
from seqrec.models.transition_prior.mean import TransitionMean
from seqrec.models.transition_prior.product import TransitionProduct

KINDS: dict[str, type[TransitionPrior]] = {"mean": TransitionMean, "product": TransitionProduct}


def build_transition_prior(num_items: int, settings: dict[str, Any]) -> TransitionPrior:
    """Return the empty prior of these settings; without ``name`` the mean.

    Args:
        num_items: catalog size.
        settings: ``name``, ``num_edges`` and the arguments of that kind.
    """
    arguments = dict(settings)
    return KINDS[arguments.pop("name", "mean")](num_items, **arguments)
