"""A reward model by a recipe: who is learned from and who judges, the model, what it must beat."""

import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from seqrec.builders.model import build_optimizers
from seqrec.builders.reward_data import RewardData, build_reward_data
from seqrec.builders.reward_model import build_reward_model
from seqrec.config.recipe import Recipe
from seqrec.data.catalog import write_items
from seqrec.data.prepared import PreparedData
from seqrec.evaluation.likes import auc_difference, metrics_of_likes
from seqrec.models.folder import ITEMS_FILE
from seqrec.objectives.interface import cost_of, fit_recipe
from seqrec.outputs import METRICS_FILE
from seqrec.tokens.tokenizer import ItemTokens, build_tokenizer
from seqrec.training.accounting import training_dtype
from seqrec.training.callbacks import Watch
from seqrec.training.epoch_log import read_log
from seqrec.training.fit import LOG_FILE, FitResult
from seqrec.training.loaders import PackedLoader
from seqrec.training.steps.reward_model import RewardLoader, RewardModule, judged

SEED = 0
"""Of the bootstrap."""


@dataclass(frozen=True)
class RewardJob:
    """What a recipe of a reward model and a prepared folder make together."""

    module: RewardModule
    data: RewardData
    loader: PackedLoader
    choosing: RewardLoader
    """Answers by which the epoch is chosen."""
    tokenizer: PreTrainedTokenizerFast
    prepared: PreparedData

    @classmethod
    def of(cls, recipe: Recipe, prepared: PreparedData, rank: int = 0) -> "RewardJob":
        """Everything that one of the run's processes needs."""
        torch.manual_seed(recipe.trainer.seed)
        item_ids = prepared.items()["item_id"].to_list()
        tokenizer = build_tokenizer(item_ids)
        tokens = ItemTokens.of(tokenizer, item_ids)
        data = build_reward_data(recipe, prepared, tokens, rank)
        module = RewardModule(
            build_reward_model(recipe, tokens, tokenizer, data, prepared.catalog_fingerprint),
            partial(build_optimizers, recipe, data.learn.num_batches),
            dtype=training_dtype(recipe.trainer.precision, recipe.trainer.accelerator),
            gradient_clip=recipe.trainer.gradient_clip,
        )
        loader = PackedLoader(data.learn)
        return cls(module, data, loader, RewardLoader(data.choose), tokenizer, prepared)

    def run(self, recipe: Recipe, folder: Path, watch: Watch | None = None) -> dict[str, Any]:
        """Train, and write the model and its metrics, which are answered."""
        started = time.perf_counter()
        result = self.fit(recipe, folder, watch)
        model, saved = self.module.model.eval(), folder / "model"
        disable_progress_bar()
        model.save_pretrained(saved)
        self.tokenizer.save_pretrained(saved)
        write_items(self.prepared.items(), self.data.item_counts, saved / ITEMS_FILE)
        lines = read_log(folder / LOG_FILE)
        best = next(line for line in lines if line["epoch"] == result.best_epoch - 1)
        metrics = {
            "objective": recipe.objective.name,
            "best_epoch": result.best_epoch,
            "num_epochs": result.num_epochs,
            "num_steps": result.num_steps,
            "num_parameters": model.num_parameters(),
            "selection_metric": recipe.trainer.selection_metric,
            "validation": {k.removeprefix("val/"): best[k] for k in best if k.startswith("val/")},
            "held_out": self.judge(),
            **self.data.facts,
            "protocol": self._protocol(),
            **cost_of(lines),
            "wall_seconds": round(time.perf_counter() - started, 1),
        }
        (folder / METRICS_FILE).write_text(json.dumps(metrics, indent=2) + "\n")
        return metrics

    def fit(self, recipe: Recipe, folder: Path, watch: Watch | None = None) -> FitResult:
        """Train in a folder that holds nothing yet, or the checkpoints of an interrupted run."""
        head, width = self.module.model.members()[0].head, recipe.model.hidden_size
        return fit_recipe(
            recipe,
            self.module,
            self.loader,
            self.choosing,
            folder,
            num_scored=1 + head.up_proj.weight.numel() // width,
            watch=watch,
        )

    def judge(self) -> dict[str, Any]:
        """Model and baselines on answers of people who were neither learned from nor chose."""
        said = judged(self.module.model, RewardLoader(self.data.judge))
        baselines = self.data.baselines(said)
        *_, hardest = baselines.chances.values()
        is_liked = said.labels >= 0.5
        gain = auc_difference(said.probabilities, hardest, is_liked, baselines.users, seed=SEED)
        return {
            "users": len(np.unique(baselines.users)),
            "answers": len(is_liked),
            "liked_share": float(is_liked.mean()),
            "model": metrics_of_likes(said.probabilities, said.labels),
            "baselines": {
                name: metrics_of_likes(chances, said.labels)
                for name, chances in baselines.chances.items()
            },
            "auc_gain": gain._asdict(),
        }

    def _protocol(self) -> str:
        liked = self.data.liked
        kind = "labels" if liked is None else f"ratings of at least {liked:g} in the training part"
        return (
            f"{kind}, {self.prepared.split_by}; the users who choose the epoch "
            f"({self.choosing.num_queries:,} answers) and those who judge it are not learned from"
        )
