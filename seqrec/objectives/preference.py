"""Preference optimization: preferred answers to a history become likelier than rejected ones."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from seqrec.builders.model import count_items
from seqrec.builders.named_models import check_reads_items
from seqrec.builders.pretrained import START_KEY
from seqrec.builders.reference import REFERENCE_KEY, open_reference
from seqrec.config.objective import PreferenceConfig, PreferenceLossConfig
from seqrec.config.recipe import Recipe
from seqrec.data.checksums import file_sha256
from seqrec.data.feedback.counts import describe_counts
from seqrec.data.feedback.pairs import Pairs
from seqrec.data.feedback.pairs_file import read_pairs
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.losses import preference
from seqrec.losses.catalog import IGNORE_INDEX
from seqrec.models.folder import model_folder
from seqrec.models.weights import folder_fingerprint
from seqrec.objectives.next_item import NextItemObjective, TrainingSetup
from seqrec.objectives.start import Start
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.streams.pairs import PairStream
from seqrec.training.loaders import PackedLoader
from seqrec.training.steps.preference import PairMetrics, PreferenceLoss, preference_loss


class PreferenceObjective(NextItemObjective):
    """Trains a policy on pairs of answers, relative to the model that it starts from."""

    @classmethod
    def get_sources(cls, recipe: Recipe) -> dict[str, Any]:
        reference = get_config(recipe).reference
        if reference is None:
            return {}
        is_file = Path(reference).is_file()
        fingerprint = (
            file_sha256(Path(reference))
            if is_file
            else folder_fingerprint(model_folder(reference, REFERENCE_KEY))
        )
        return {"reference_fingerprint": fingerprint}

    @classmethod
    def check_start(cls, recipe: Recipe, start: Recommender) -> None:
        check_reads_items(start, str(recipe.model.from_pretrained), "objective preference")

    @classmethod
    def build_setup(
        cls, recipe: Recipe, prepared: PreparedData, start: Start, rank: int
    ) -> TrainingSetup:
        config = get_config(recipe)
        if recipe.model.from_pretrained is None:
            raise SeqRecError(f"{START_KEY}: missing; name the run that preferences change")
        if recipe.data.pairs is None:
            raise SeqRecError("data.pairs: missing; name the file that seqrec pairs wrote")
        assert start.trained is not None
        pairs = read_pairs(Path(recipe.data.pairs), prepared, start.trained.num_learned)
        learned, held_out = split_pairs(pairs, recipe)
        stream_of = partial(
            PairStream,
            pairs,
            tokens=start.tokens,
            row_length=recipe.data.max_length,
            batch_size=recipe.data.batch_size,
            ignore_index=IGNORE_INDEX,
        )
        reference = open_reference(recipe, config, prepared, pairs)
        stream = stream_of(
            chosen=learned,
            has_labels=config.sft_share > 0,
            seed=recipe.trainer.seed,
            rank=rank,
            num_ranks=recipe.trainer.devices,
        )
        pair_metrics = None
        if len(held_out):
            batches = stream_of(chosen=held_out, has_labels=False).in_order
            pair_metrics = PairMetrics(batches, reference.load_model)
        counts = {**pairs.counts, "learned": len(learned), "held_out": len(held_out)}
        return TrainingSetup(
            PackedLoader(stream),
            partial(
                preference_loss,
                loss=build_preference_loss(config.loss),
                reference=reference.log_probs,
                sft_share=config.sft_share,
            ),
            count_items(prepared),
            prepared.num_items,
            tolerance=config.tolerance,
            extra_metrics=pair_metrics,
            details={"pairs": counts},
            notices=(f"{recipe.data.pairs}: {describe_counts(counts, pairs.unknown)}",),
        )

    def measure(self, folder: Path) -> dict[str, Any]:
        return {}


def get_config(recipe: Recipe) -> PreferenceConfig:
    """Return the objective block, which must be that of preference optimization."""
    assert recipe.objective.name == "preference"
    return recipe.objective


def split_pairs(pairs: Pairs, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the pairs to train on, and of those held out.

    Raises:
        SeqRecError: the loss cannot use some pairs, or a part is empty that is needed.
    """
    _check_sides(pairs, recipe)
    is_held_out = pairs.is_held_out(recipe.data.held_out_share)
    learned = np.flatnonzero(~is_held_out & (pairs.weight > 0))
    if not len(learned):
        raise SeqRecError(f"{recipe.data.pairs}: all pairs are held out; lower data.held_out_share")
    is_compared = is_held_out & ~pairs.is_one_sided
    if recipe.trainer.selection_metric == "pair_accuracy" and not is_compared.any():
        raise SeqRecError(
            f"{recipe.data.pairs}: no pair is held out that has both answers, which "
            "trainer.selection_metric pair_accuracy compares; raise data.held_out_share, or select "
            "by ndcg@10"
        )
    return learned, np.flatnonzero(is_held_out)


def _check_sides(pairs: Pairs, recipe: Recipe) -> None:
    """Refuse pairs with one answer for losses that compare two."""
    num_alone = int(pairs.is_one_sided.sum())
    loss = get_config(recipe).loss.name
    if num_alone and loss != "kto":
        raise SeqRecError(
            f"{recipe.data.pairs}: {num_alone:,} pairs are a like or a dislike alone; "
            f"objective.loss kto learns from such, {loss} does not"
        )


def build_preference_loss(config: PreferenceLossConfig) -> PreferenceLoss:
    """Bind the loss of pairs that the settings name."""
    function = getattr(preference, config.name)
    return partial(function, **config.model_dump(exclude={"name"}))
