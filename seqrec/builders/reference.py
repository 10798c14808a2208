"""The reference of preference optimization: a frozen model, or its cached log-probabilities."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from seqrec.builders.named_models import open_item_recommender
from seqrec.builders.pretrained import START_KEY
from seqrec.config.objective import PreferenceConfig
from seqrec.config.recipe import Recipe
from seqrec.data.caches.reference import build_header, read_reference_cache
from seqrec.data.feedback.pairs import Pairs
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.losses.preference import PairLogProbs
from seqrec.models import SeqRecForNextItem
from seqrec.models.folder import model_folder
from seqrec.models.weights import folder_fingerprint
from seqrec.training.steps.preference import (
    CachedReference,
    FrozenReference,
    ReferenceLogProbs,
)

REFERENCE_KEY = "objective.reference"


class OpenReference(NamedTuple):
    """The reference of the loss and of the KL metric."""

    log_probs: ReferenceLogProbs | None
    """Log-probabilities for the loss; None for a loss without a reference."""
    load_model: Callable[[], SeqRecForNextItem]
    """Returns the model from which the KL is measured: the one in memory if the loss uses it, else
    one that each call reads from disk."""


def open_reference(
    recipe: Recipe, config: PreferenceConfig, prepared: PreparedData, pairs: Pairs
) -> OpenReference:
    """Open the reference that the recipe names, or the model that training starts from.

    Raises:
        SeqRecError: a model of another catalog or one that reads too few items; a cache of
            another model, other pairs or other data.
    """
    start = model_folder(str(recipe.model.from_pretrained), START_KEY)
    if config.loss.name == "simpo":
        return OpenReference(None, partial(_read, start, prepared))
    path = Path(config.reference) if config.reference is not None else start
    if path.is_file():
        header = build_header(
            model_fingerprint=folder_fingerprint(start),
            catalog_fingerprint=prepared.catalog_fingerprint,
            pairs_fingerprint=pairs.fingerprint,
            data_fingerprint=prepared.fingerprint,
            max_length=recipe.data.max_length,
        )
        cached = read_reference_cache(path, header, len(pairs))
        log_probs = PairLogProbs(*map(torch.from_numpy, map(np.copy, cached)))
        return OpenReference(CachedReference(log_probs), partial(_read, start, prepared))
    model = _read(model_folder(path, REFERENCE_KEY), prepared)
    if model.config.max_length < recipe.data.max_length:
        raise SeqRecError(
            f"{REFERENCE_KEY} {path}: reads {model.config.max_length} items of a history, fewer "
            f"than data.max_length {recipe.data.max_length}"
        )
    return OpenReference(FrozenReference(model, pairs.num_items), lambda: model)


def _read(folder: Path, prepared: PreparedData) -> SeqRecForNextItem:
    return open_item_recommender(folder, prepared, REFERENCE_KEY).model
