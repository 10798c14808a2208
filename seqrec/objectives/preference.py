"""From a preference recipe to objects: pairs, the reference, the loss, what is watched."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from seqrec.builders.model import count_items
from seqrec.builders.named_models import open_reader_of_titles
from seqrec.builders.pretrained import KEY
from seqrec.config.objective import PreferenceConfig, PreferenceLossConfig
from seqrec.config.recipe import Recipe
from seqrec.data.caches.reference import build_header, read_reference_cache
from seqrec.data.feedback.counts import describe_counts
from seqrec.data.feedback.pairs import Pairs
from seqrec.data.feedback.pairs_file import read_pairs
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.losses import preference
from seqrec.losses.catalog import IGNORE_INDEX
from seqrec.losses.preference import PairLogProbs
from seqrec.models import SeqRecForNextItem
from seqrec.models.folder import folder_fingerprint, model_folder, num_learned_items
from seqrec.objectives.interface import Learning
from seqrec.tokens.streams.pairs import PairStream
from seqrec.tokens.tokenizer import ItemTokens
from seqrec.training.loaders import PackedLoader
from seqrec.training.steps.preference import (
    CachedReference,
    FrozenReference,
    PairWatch,
    PreferenceLoss,
    Reference,
    preference_loss,
)

REFERENCE_KEY = "objective.reference"


def build_preference(
    recipe: Recipe, prepared: PreparedData, tokens: ItemTokens, rank: int
) -> Learning:
    """Everything beside the policy that a preference recipe names.

    Raises:
        SeqRecError: no pairs, pairs that the loss cannot learn from, a reference that is of
            another catalog or, as a cache, of another model, pairs or data.
    """
    config = recipe.objective
    assert isinstance(config, PreferenceConfig)
    start = recipe.model.from_pretrained
    if start is None:
        raise SeqRecError(f"{KEY}: missing; name the run that preferences change")
    if recipe.data.pairs is None:
        raise SeqRecError("data.pairs: missing; name the file that seqrec pairs wrote")
    num_items = num_learned_items(model_folder(start, KEY))
    pairs = read_pairs(Path(recipe.data.pairs), prepared, num_items)
    check_sides(pairs, recipe)
    is_held_out = pairs.is_held_out(recipe.data.held_out_share)
    learned = np.flatnonzero(~is_held_out & (pairs.weight > 0))
    held_out = np.flatnonzero(is_held_out)
    if not len(learned):
        raise SeqRecError(f"{recipe.data.pairs}: all pairs are held out; lower data.held_out_share")
    is_compared = is_held_out & ~pairs.is_one_sided
    if recipe.trainer.selection_metric == "pair_accuracy" and not is_compared.any():
        raise SeqRecError(
            f"{recipe.data.pairs}: no pair is held out that has both answers, which "
            "trainer.selection_metric pair_accuracy compares; raise data.held_out_share, or select "
            "by ndcg@10"
        )
    stream_of = partial(
        PairStream,
        pairs,
        tokens=tokens,
        row_length=recipe.data.max_length,
        batch_size=recipe.data.batch_size,
        ignore_index=IGNORE_INDEX,
    )
    reference, kept = open_reference(recipe, prepared, pairs)
    stream = stream_of(
        chosen=learned,
        has_labels=config.sft_share > 0,
        seed=recipe.trainer.seed,
        rank=rank,
        num_ranks=recipe.trainer.devices,
    )
    objective = partial(
        preference_loss,
        loss=build_preference_loss(config.loss),
        reference=reference,
        sft_share=config.sft_share,
    )
    watched = None
    if len(held_out):
        watched = PairWatch(stream_of(chosen=held_out, has_labels=False).in_order, kept)
    facts = {**pairs.counts, "learned": len(learned), "held_out": len(held_out)}
    return Learning(
        PackedLoader(stream),
        objective,
        count_items(prepared),
        num_scored=prepared.num_items,
        watched=watched,
        facts={"pairs": facts},
        notice=f"{recipe.data.pairs}: {describe_counts(facts, pairs.unknown)}",
    )


def check_sides(pairs: Pairs, recipe: Recipe) -> None:
    """Refuse lone likes and dislikes for losses that compare."""
    num_alone = int(pairs.is_one_sided.sum())
    assert isinstance(recipe.objective, PreferenceConfig)
    loss = recipe.objective.loss.name
    if num_alone and loss != "kto":
        raise SeqRecError(
            f"{recipe.data.pairs}: {num_alone:,} pairs are a like or a dislike alone; "
            f"objective.loss kto learns from such, {loss} does not"
        )


def build_preference_loss(config: PreferenceLossConfig) -> PreferenceLoss:
    """The loss of pairs that the settings name."""
    function = getattr(preference, config.name)
    return partial(function, **config.model_dump(exclude={"name"}))


def open_reference(
    recipe: Recipe, prepared: PreparedData, pairs: Pairs
) -> tuple[Reference | None, Callable[[], SeqRecForNextItem]]:
    """What the loss is held against, and the model by which drift is watched.

    The second model is kept in memory where the loss needs it anyway; beside a cache, or a loss
    without a reference, it is read whenever it is asked for.
    """
    config = recipe.objective
    assert isinstance(config, PreferenceConfig) and recipe.model.from_pretrained is not None
    start = model_folder(recipe.model.from_pretrained, KEY)

    def read(path: Path = start) -> SeqRecForNextItem:
        return open_reader_of_titles(path, prepared, REFERENCE_KEY).model

    if config.loss.name == "simpo":
        return None, read
    named = Path(config.reference) if config.reference is not None else start
    if named.is_file():
        wanted = build_header(
            model_fingerprint=folder_fingerprint(start),
            catalog_fingerprint=prepared.catalog_fingerprint,
            pairs_fingerprint=pairs.fingerprint,
            data_fingerprint=prepared.fingerprint,
            max_length=recipe.data.max_length,
        )
        cached = read_reference_cache(named, wanted, len(pairs))
        return CachedReference(PairLogProbs(*map(torch.from_numpy, map(np.copy, cached)))), read
    model = read(model_folder(named, REFERENCE_KEY))
    if model.config.max_length < recipe.data.max_length:
        raise SeqRecError(
            f"{REFERENCE_KEY} {named}: reads {model.config.max_length} items of a history, fewer "
            f"than data.max_length {recipe.data.max_length}"
        )
    return FrozenReference(model, pairs.num_items), lambda: model
