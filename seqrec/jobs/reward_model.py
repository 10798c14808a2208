"""A reward model by a recipe: rated histories, who judges, the model, what it must beat."""

import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from transformers import PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from seqrec.config.load import Recipe
from seqrec.config.objective import RewardModelConfig
from seqrec.data.catalog import write_items
from seqrec.data.held_out import held_out_levels
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.evaluation.likes import auc_difference, metrics_of_likes
from seqrec.evaluation.rating_floors import RatedLog, RatingFloors
from seqrec.jobs.build import build_optimizers, decoder_config, padded
from seqrec.jobs.learning import cost_of, fit_recipe
from seqrec.jobs.run_folder import METRICS_FILE
from seqrec.models import SeqRecForReward, SeqRecRewardConfig
from seqrec.recommender import ITEMS_FILE
from seqrec.tokens.rated import FIRST_LEVEL, RatedEvents, RatedStream, rating_levels
from seqrec.tokens.tokenizer import ItemTokens, build_tokenizer, tokenizer_fingerprint
from seqrec.training.accounting import training_dtype
from seqrec.training.epoch_log import read_log
from seqrec.training.fit import LOG_FILE, FitResult, Watch
from seqrec.training.loaders import PackedLoader
from seqrec.training.reward_model import RewardLoader, RewardModule, RewardTensors, judged

BIAS_SMOOTHING = 10.0
"""Average ratings that a title's own are mixed with in the bias that it starts from."""
SEED = 0
"""Of the bootstrap."""


@dataclass(frozen=True)
class RewardJob:
    """What a recipe of a reward model and a prepared folder make together."""

    module: RewardModule
    loader: PackedLoader
    choosing: RewardLoader
    """Events of the users who choose the epoch."""
    judging: RewardLoader
    """Events of the users who judge it."""
    learned: RatedLog
    """What is learned from."""
    events: RatedEvents
    tokenizer: PreTrainedTokenizerFast
    prepared: PreparedData

    @classmethod
    def of(cls, recipe: Recipe, prepared: PreparedData, rank: int = 0) -> "RewardJob":
        """Everything that one of the run's processes needs.

        Raises:
            SeqRecError: no ratings, or none that are likes and none that are not, in one of the
                parts.
        """
        config = recipe.objective
        assert isinstance(config, RewardModelConfig)
        torch.manual_seed(recipe.trainer.seed)
        item_ids = prepared.items()["item_id"].to_list()
        tokenizer = build_tokenizer(item_ids)
        tokens = ItemTokens.of(tokenizer, item_ids)
        events = RatedEvents.of(prepared.histories(["rating"]))
        level = held_out_levels(prepared.users()["user_id"])
        share = config.held_out_share
        parts = {
            "who are learned from": level >= share,
            "who choose the epoch": level < share / 2,
            "who judge it": (level >= share / 2) & (level < share),
        }
        for name, is_part in parts.items():
            check_likes(_log_of(events, is_part), config, f"{prepared.path}: users {name}")
        learned = _log_of(events, parts["who are learned from"])
        levels = rating_levels(learned.ratings)
        stream_of = partial(
            RatedStream,
            events,
            tokens=tokens,
            levels=levels,
            liked=config.liked,
            row_length=recipe.data.max_length,
            batch_size=recipe.data.batch_size,
        )
        users = [np.flatnonzero(is_part) for is_part in parts.values()]
        stream = stream_of(
            users=users[0],
            seed=recipe.trainer.seed,
            rank=rank,
            num_ranks=recipe.trainer.devices,
        )
        model = build_reward_model(recipe, tokens, tokenizer, levels, prepared)
        with torch.no_grad():
            model.head.item_bias.copy_(
                torch.from_numpy(like_logits(learned, prepared.num_items, config.liked))
            )
        module = RewardModule(
            model,
            partial(build_optimizers, recipe, stream.num_batches),
            dtype=training_dtype(recipe.trainer.precision, recipe.trainer.accelerator),
            gradient_clip=recipe.trainer.gradient_clip,
        )
        choosing, judging = (RewardLoader(stream_of(users=of_part)) for of_part in users[1:])
        loader = PackedLoader(stream, RewardTensors.of)
        return cls(module, loader, choosing, judging, learned, events, tokenizer, prepared)

    def run(self, recipe: Recipe, folder: Path, watch: Watch | None = None) -> dict[str, Any]:
        """Train, and write the model and its metrics, which are answered."""
        started = time.perf_counter()
        result = self.fit(recipe, folder, watch)
        model, saved = self.module.model.eval(), folder / "model"
        disable_progress_bar()
        model.save_pretrained(saved)
        self.tokenizer.save_pretrained(saved)
        counts = np.bincount(self.learned.items, minlength=self.prepared.num_items)
        write_items(self.prepared.items(), counts, saved / ITEMS_FILE)
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
            "protocol": self._protocol(),
            **cost_of(lines),
            "wall_seconds": round(time.perf_counter() - started, 1),
        }
        (folder / METRICS_FILE).write_text(json.dumps(metrics, indent=2) + "\n")
        return metrics

    def fit(self, recipe: Recipe, folder: Path, watch: Watch | None = None) -> FitResult:
        """Train in a folder that holds nothing yet, or the checkpoints of an interrupted run."""
        head, width = self.module.model.head, self.module.model.backbone.config.hidden_size
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
        """Model and floors on the events of people who were neither learned from nor chose."""
        said = judged(self.module.model, self.judging)
        log = RatedLog(
            self.events.items[said.events],
            self.events.users[said.events],
            self.events.ratings[said.events],
        )
        floors = RatingFloors(self.learned, self.prepared.num_items, liked=self._liked)
        chances = floors.chances(log)
        hardest = chances[RatingFloors.names[-1]]
        is_liked = said.labels >= 0.5
        gain = auc_difference(said.probabilities, hardest, is_liked, log.users, seed=SEED)
        return {
            "users": len(np.unique(log.users)),
            "events": len(log.items),
            "liked_share": float(is_liked.mean()),
            "model": said.metrics,
            **{name: metrics_of_likes(of, said.labels) for name, of in chances.items()},
            "auc_gain": gain._asdict(),
        }

    @property
    def _liked(self) -> float:
        return self.module.model.config.liked

    def _protocol(self) -> str:
        return (
            f"{self.prepared.split_by} training part; likes are ratings of at least "
            f"{self._liked:g}; nobody who chose the epoch ({self.choosing.num_queries:,} events) "
            f"or judges it ({self.judging.num_queries:,}) was learned from"
        )


def build_reward_model(
    recipe: Recipe,
    tokens: ItemTokens,
    tokenizer: PreTrainedTokenizerFast,
    levels: list[float],
    prepared: PreparedData,
) -> SeqRecForReward:
    """A reward model with random weights, drawn from torch's generator."""
    config, max_length = recipe.model, recipe.data.max_length
    assert isinstance(recipe.objective, RewardModelConfig)
    return SeqRecForReward(
        SeqRecRewardConfig(
            backbone_config=decoder_config(
                config, tokens, vocab_size=len(tokenizer), max_length=max_length
            ),
            head=config.head,
            intermediate_size=config.intermediate_size,
            dropout=config.dropout,
            num_items=tokens.num_items,
            padded_num_items=padded(tokens.num_items),
            first_item_token=tokens.first_item_token,
            max_length=max_length,
            rating_levels=levels,
            num_rating_rows=FIRST_LEVEL + len(levels),
            liked=recipe.objective.liked,
            catalog_fingerprint=prepared.catalog_fingerprint,
            tokenizer_fingerprint=tokenizer_fingerprint(tokenizer),
        )
    )


def check_likes(log: RatedLog, config: RewardModelConfig, who: str) -> None:
    """See that some titles are liked, and some not.

    Raises:
        SeqRecError: they are not.
    """
    num_liked = int((log.ratings >= config.liked).sum())
    if not 0 < num_liked < len(log.ratings):
        raise SeqRecError(
            f"{who} rated {len(log.ratings):,} titles in the training part and liked {num_liked:,} "
            "of them; a reward model learns from both kinds (objective.liked "
            f"{config.liked:g}, objective.held_out_share {config.held_out_share:g})"
        )


def like_logits(log: RatedLog, num_items: int, liked: float) -> Float[np.ndarray, " I"]:
    """The logit of every title's share of likes, drawn towards the average share."""
    is_liked = log.ratings >= liked
    likes = np.bincount(log.items, is_liked, minlength=num_items)
    counts = np.bincount(log.items, minlength=num_items)
    share = (likes + BIAS_SMOOTHING * is_liked.mean()) / (counts + BIAS_SMOOTHING)
    return np.log(share / (1 - share))


def _log_of(events: RatedEvents, is_part: Bool[np.ndarray, " U"]) -> RatedLog:
    """The rated events of some users."""
    chosen = events.is_rated & is_part[events.users]
    return RatedLog(events.items[chosen], events.users[chosen], events.ratings[chosen])
