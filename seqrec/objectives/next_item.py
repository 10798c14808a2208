"""Objectives that train a next-item model on packed batches: SFT, preference, distillation."""

import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from seqrec.builders.grammar import fit_coder
from seqrec.builders.model import build_knowledge, build_model, build_optimizers
from seqrec.builders.pretrained import KEY, check_rows, start_model
from seqrec.config.objective import DistillationConfig, PreferenceConfig, SFTConfig
from seqrec.config.recipe import Recipe
from seqrec.data.catalog import write_items
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import protocol_line
from seqrec.models.folder import ITEMS_FILE, load_model, model_coder, model_folder
from seqrec.objectives.calibration import (
    SETTLE_COLD_ITEMS,
    complete,
    has_open_strength,
    set_strength,
)
from seqrec.objectives.distillation import build_distillation, check_cache_knows
from seqrec.objectives.interface import Learning, cost_of, fit_recipe
from seqrec.objectives.preference import build_preference
from seqrec.objectives.serving_costs import serving_costs
from seqrec.objectives.sft import build_sft
from seqrec.outputs import METRICS_FILE
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.log import check_times, event_blocks
from seqrec.tokens.tokenizer import ItemTokens, build_tokenizer, tokenizer_fingerprint
from seqrec.training.accounting import training_dtype
from seqrec.training.callbacks import Watch
from seqrec.training.epoch_log import read_log
from seqrec.training.fit import LOG_FILE, FitResult, device_of
from seqrec.training.loaders import QueryLoader
from seqrec.training.module import SELECTION, Tolerance, TrainingModule
from seqrec.training.validation import validation_metrics

VALIDATION_KS = (10, 50)
BUILDERS = {
    "sft": build_sft,
    "preference": build_preference,
    "distillation": build_distillation,
}
"""By an objective's name, what makes it of a recipe."""


@dataclass(frozen=True)
class Job:
    """What a recipe and a prepared folder make together, before anything is written."""

    prepared: PreparedData
    module: TrainingModule
    learning: Learning
    validation: QueryLoader
    tokenizer: PreTrainedTokenizerFast
    save_items: Callable[[Path], None]
    """Writes the items and their training counts, which a model folder shows titles from."""
    protocol: str

    @classmethod
    def of(cls, recipe: Recipe, prepared: PreparedData, rank: int = 0) -> "Job":
        """Everything that one of the run's processes needs."""
        torch.manual_seed(recipe.trainer.seed)
        items = prepared.items()
        item_ids = items["item_id"].to_list()
        started = coder = None
        if recipe.model.from_pretrained is not None:
            started, tokenizer = start_model(recipe, prepared)
            coder = model_coder(started.config, items, KEY)
        else:
            coder = fit_coder(recipe.data.events, recipe.model.time_bias, prepared)
            tokenizer = build_tokenizer(item_ids, coder.grammar.words if coder else ())
        tokens = ItemTokens.of(tokenizer, item_ids)
        events = EventTokens.of(tokenizer, tokens, coder) if coder else None
        if coder is not None:
            check_times(prepared, coder.grammar)
        if events is not None and not isinstance(recipe.objective, SFTConfig):
            raise SeqRecError(
                f"{KEY}={recipe.model.from_pretrained}: reads events, which objective "
                f"{recipe.objective.name} does not; name a model of titles alone"
            )
        more = {"events": events} if events is not None else {}
        learning = BUILDERS[recipe.objective.name](recipe, prepared, tokens, rank, **more)
        torch.manual_seed(recipe.trainer.seed)  # again: other models may have been opened
        model = started or build_model(
            recipe.model,
            tokens,
            build_knowledge(recipe.model, prepared, learning.item_counts),
            vocab_size=len(tokenizer),
            max_length=recipe.data.max_length,
            catalog_fingerprint=prepared.catalog_fingerprint,
            tokenizer_fingerprint=tokenizer_fingerprint(tokenizer),
            grammar=coder.grammar if coder else None,
        )
        check_rows(model, learning.item_counts)
        if learning.prior_strength is not None and has_open_strength(recipe, model):
            set_strength(model, learning.prior_strength)
        if isinstance(recipe.objective, DistillationConfig):
            check_cache_knows(model, recipe.objective)
        validation = QueryLoader(
            event_blocks(prepared, coder.grammar) if coder else prepared.blocks(),
            prepared.targets,
            memory_rows=recipe.data.pool_rows,
            rank=rank,
            num_ranks=recipe.trainer.devices,
            events=events,
        )
        is_preference = isinstance(recipe.objective, PreferenceConfig)
        if is_preference and not validation.num_queries:
            raise SeqRecError(
                f"{prepared.path}: nobody has a validation target under {prepared.split_by}, by "
                "which objective preference is watched; prepare with another --split-by"
            )
        is_open = learning.prior_strength is None and has_open_strength(recipe, model)
        if is_open and not validation.num_queries:
            raise SeqRecError(
                f"model.transition_prior.strength: null is chosen on validation, which "
                f"{prepared.path} has none of under {prepared.split_by}; name one, or "
                "prepare with another --split-by"
            )
        selection_k = int(recipe.trainer.selection_metric.partition("@")[2] or VALIDATION_KS[0])
        module = TrainingModule(
            model,
            learning.objective,
            partial(build_optimizers, recipe, len(learning.loader)),
            ModelRanker("validation", model, tokens, events),
            sorted({*VALIDATION_KS, selection_k}),
            dtype=training_dtype(recipe.trainer.precision, recipe.trainer.accelerator),
            gradient_clip=recipe.trainer.gradient_clip,
            watched=learning.watched,
        )
        protocol = protocol_line(
            prepared,
            "validation",
            validation.num_queries,
            exclude_seen=True,
            **({"time_input": coder.grammar.time_input} if coder else {}),
        )
        save_items = partial(write_items, items, learning.item_counts)
        return cls(prepared, module, learning, validation, tokenizer, save_items, protocol)

    def run(self, recipe: Recipe, folder: Path, watch: Watch | None = None) -> dict[str, Any]:
        """Train, and write the model and its metrics, which are answered."""
        started = time.perf_counter()
        if self.learning.notice is not None:
            print(self.learning.notice, file=sys.stderr, flush=True)
        start = self.judge_start(recipe)
        result = self.fit(recipe, folder, watch)
        last = recipe.trainer.epochs_without_dropout
        if last and result.num_epochs <= recipe.trainer.max_epochs - last:
            print(
                f"trainer.epochs_without_dropout: training ended in epoch {result.num_epochs}, "
                "before them",
                file=sys.stderr,
            )
        best_epoch = self.choose_weights(recipe, folder, result, start)
        model, saved = self.module.model.eval(), folder / "model"
        judge = self.validation if result.has_validation else None
        model.to(device_of(recipe.trainer.accelerator))  # from which Lightning took it
        completion = complete(recipe, self.module, self.learning, judge)
        model.cpu()
        disable_progress_bar()
        model.save_pretrained(saved)
        self.tokenizer.save_pretrained(saved)
        self.save_items(saved / ITEMS_FILE)
        lines = read_log(folder / LOG_FILE)
        best = next((line for line in lines if line["epoch"] == best_epoch - 1), start)
        validation = {k.removeprefix("val/"): best[k] for k in best if k.startswith("val/")}
        validation.pop(SELECTION.removeprefix("val/"), None)
        metrics = {
            "objective": recipe.objective.name,
            "best_epoch": best_epoch,
            "num_epochs": result.num_epochs,
            "num_steps": result.num_steps,
            "num_parameters": model.num_parameters(),
            "selection_metric": recipe.trainer.selection_metric,
            "validation": validation | completion.validation,
            **({"start": _plain(start)} if start else {}),
            **self.learning.facts,
            **self.costs(recipe, saved),
            **completion.facts,
            "protocol": self.protocol,
            **cost_of(lines),
            "wall_seconds": round(time.perf_counter() - started, 1),
        }
        (folder / METRICS_FILE).write_text(json.dumps(metrics, indent=2) + "\n")
        return metrics

    def costs(self, recipe: Recipe, saved: Path) -> dict[str, Any]:
        """Of a distilled student beside its teachers; nothing of other models."""
        if not isinstance(recipe.objective, DistillationConfig):
            return {}
        asked = (queries.histories for queries in self.validation)
        histories = next((of_block for of_block in asked if len(of_block)), [])
        return serving_costs(recipe, self.module.ranker, saved, self.prepared, histories)

    def judge_start(self, recipe: Recipe) -> dict[str, float]:
        """How the model of a preference recipe fares before training, which sets its tolerance.

        Empty for other objectives.
        """
        config = recipe.objective
        if not isinstance(config, PreferenceConfig):
            return {}
        module = self.module
        module.model.eval()
        plain = validation_metrics(module.ranker, self.validation, module.ks)
        found = {f"val/{key}": value for key, value in plain.items()}
        if module.watched is not None:
            watched = module.watched(module.model)
            found |= {f"val/{key}": value for key, value in watched.items()}
        keys = [f"val/{name}@{VALIDATION_KS[0]}" for name in ("recall", "ndcg")]
        least = {key: found[key] * (1 - config.tolerance) for key in keys}
        module.tolerance = Tolerance(least, f"val/{recipe.trainer.selection_metric}")
        module.model.train()
        return found

    def choose_weights(
        self, recipe: Recipe, folder: Path, result: FitResult, start: dict[str, float]
    ) -> int:
        """The best epoch; 0, with the weights of the start, if none that is tolerated beats it.

        Where the start was not judged, an epoch is always chosen.
        """
        if not start:
            return result.best_epoch
        lines = {line["epoch"]: line for line in read_log(folder / LOG_FILE)}
        least = start[f"val/{recipe.trainer.selection_metric}"]
        if lines[result.best_epoch - 1][SELECTION] > least:
            return result.best_epoch
        before = load_model(model_folder(str(recipe.model.from_pretrained)))
        self.module.model.load_state_dict(before.state_dict())
        return 0

    def fit(self, recipe: Recipe, folder: Path, watch: Watch | None = None) -> FitResult:
        """Train in a folder that holds nothing yet, or the checkpoints of an interrupted run."""
        trainer = recipe.trainer
        shares_gpus = trainer.devices > 1 and trainer.accelerator != "cpu"
        has_sparse = not (shares_gpus and torch.cuda.is_available())  # NCCL cannot add them up
        self.module.model.use_sparse_gradients(has_sparse and self.learning.is_sparse)
        if self.module.tolerance is None:
            self.judge_start(recipe)
        settles_cold_items = isinstance(recipe.objective, SETTLE_COLD_ITEMS)
        with self.module.ranker.without_cold_items() if settles_cold_items else nullcontext():
            result = fit_recipe(
                recipe,
                self.module,
                self.learning.loader,
                self.validation,
                folder,
                num_scored=self.learning.num_scored,
                watch=watch,
            )
        self.module.model.use_sparse_gradients(False)
        return result


def _plain(metrics: dict[str, float]) -> dict[str, float]:
    return {key.removeprefix("val/"): value for key, value in metrics.items()}
