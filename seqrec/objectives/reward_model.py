"""A reward model: it predicts which items, or slates of items, a user likes after a history."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from seqrec.builders.model import build_optimizers
from seqrec.builders.reward_data import RewardData, build_reward_data
from seqrec.builders.reward_model import build_reward_model
from seqrec.config.recipe import Recipe
from seqrec.data.prepared import PreparedData
from seqrec.evaluation.likes import auc_difference, like_metrics
from seqrec.objectives.epochs import epoch_costs, fit_settings, validation_of
from seqrec.objectives.interface import MODEL_FOLDER, CatalogObjective, RunOutcome
from seqrec.tokens.tokenizer import ItemTokens, build_tokenizer
from seqrec.training.accounting import training_dtype, training_flops
from seqrec.training.callbacks import ShouldStop
from seqrec.training.epoch_log import read_log
from seqrec.training.fit import LOG_FILE, FitResult, fit
from seqrec.training.loaders import PackedLoader
from seqrec.training.steps.reward_model import RewardLoader, RewardModule, predict_likes

BOOTSTRAP_SEED = 0


@dataclass
class RewardModelObjective(CatalogObjective):
    """Trains a reward model on ratings of the log, or on labelled slates."""

    module: RewardModule
    data: RewardData
    loader: PackedLoader
    validation: RewardLoader
    """Answers that choose the epoch."""

    @classmethod
    def get_sources(cls, recipe: Recipe) -> dict[str, Any]:
        return {}

    @classmethod
    def build(cls, recipe: Recipe, prepared: PreparedData, rank: int = 0) -> Self:
        trainer = recipe.trainer
        torch.manual_seed(trainer.seed)
        item_ids = prepared.items()["item_id"].to_list()
        tokenizer = build_tokenizer(item_ids)
        tokenizer.model_max_length = recipe.data.max_length
        tokens = ItemTokens.of(tokenizer, item_ids)
        data = build_reward_data(recipe, prepared, tokens, rank)
        model = build_reward_model(recipe, tokens, tokenizer, data, prepared.catalog_fingerprint)
        module = RewardModule(
            model,
            partial(build_optimizers, recipe, data.train.num_batches),
            dtype=training_dtype(trainer.precision, trainer.accelerator),
            gradient_clip=trainer.gradient_clip,
        )
        validation = RewardLoader(data.validation)
        return cls(
            recipe,
            prepared,
            model,
            tokenizer,
            data.item_counts,
            trainer.selection_metric,
            _protocol(data, prepared, validation.num_queries),
            (),
            module,
            data,
            PackedLoader(data.train),
            validation,
        )

    def before(self) -> None:
        """Do nothing: the model is new."""

    def fit(self, folder: Path, should_stop: ShouldStop | None = None) -> FitResult:
        head, width = self.model.members()[0].head, self.recipe.model.hidden_size
        return fit(
            self.module,
            self.loader,
            self.validation,
            folder,
            fit_settings(self.recipe.trainer),
            count_flops=partial(
                training_flops,
                self.model,
                row_length=self.loader.stream.row_length,
                num_scored=1 + head.up_proj.weight.numel() // width,
            ),
            should_stop=should_stop,
            save_best=partial(self.save_best, folder / MODEL_FOLDER),
            tracker=self.tracker,
        )

    def after(self, folder: Path, fit: FitResult) -> RunOutcome:
        assert fit.best_epoch is not None
        lines = read_log(folder / LOG_FILE)
        best = next(line for line in lines if line["epoch"] == fit.best_epoch - 1)
        return RunOutcome(
            fit.best_epoch, {}, validation_of(best), dict(self.data.details), epoch_costs(lines)
        )

    def measure(self, folder: Path) -> dict[str, Any]:
        """Judge model and baselines on the answers of held-out users."""
        predicted = predict_likes(self.model, RewardLoader(self.data.test))
        baselines = self.data.baselines(predicted)
        *_, hardest = baselines.chances.values()
        is_liked = predicted.labels >= 0.5
        gain = auc_difference(
            predicted.probabilities, hardest, is_liked, baselines.users, seed=BOOTSTRAP_SEED
        )
        held_out = {
            "users": len(np.unique(baselines.users)),
            "answers": len(is_liked),
            "liked_share": float(is_liked.mean()),
            "model": like_metrics(predicted.probabilities, predicted.labels),
            "baselines": {
                name: like_metrics(chances, predicted.labels)
                for name, chances in baselines.chances.items()
            },
            "auc_gain": gain._asdict(),
        }
        return {"held_out": held_out}


def _protocol(data: RewardData, prepared: PreparedData, num_answers: int) -> str:
    liked = data.liked
    kind = "labels" if liked is None else f"ratings of at least {liked:g} in the training part"
    return (
        f"{kind}, {prepared.split_by}; the users who choose the epoch ({num_answers:,} answers) "
        "and those who judge it are not learned from"
    )
