"""``seqrec train``: a recipe and a prepared folder become a run folder."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from transformers import PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

import seqrec
from seqrec.config.load import Recipe, load_recipe
from seqrec.data.catalog import write_items
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import protocol_line
from seqrec.jobs.build import (
    build_knowledge,
    build_model,
    build_objective,
    build_optimizers,
    build_stream,
    is_sparse,
    num_scored,
)
from seqrec.jobs.folders import reason_of, refuse_existing, swap_in
from seqrec.jobs.ranks import run_ranks, work_as_rank
from seqrec.recommender import ITEMS_FILE, ModelRanker
from seqrec.tokens.tokenizer import ItemTokens, build_tokenizer, tokenizer_fingerprint
from seqrec.training.accounting import training_dtype
from seqrec.training.epoch_log import read_log
from seqrec.training.fit import LOG_FILE, FitResult, Watch, check_devices, fit
from seqrec.training.loaders import PackedLoader, QueryLoader
from seqrec.training.memory_strength import choose_strength
from seqrec.training.module import TrainingModule

CONFIG_FILE = "config.yaml"
METRICS_FILE = "metrics.json"
VALIDATION_KS = (10, 50)
ACCOUNTS = (
    "tokens_per_second",
    "useful_share",
    "decoder_gflops",
    "head_gflops",
    "share_of_product_rate",
)
"""Of an epoch, the median of all: what ``metrics.json`` takes from the log."""


def train(
    recipe: str | Path,
    *,
    data: str | Path,
    out: str | Path,
    overrides: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Train a model and write its run folder.

    The run is worked on in ``OUT.partial`` and becomes ``OUT`` in one rename at the end. An
    interrupted one stays there, and ``resume`` goes on with it.

    Returns:
        The run folder, its ``metrics.json``, and where the model is.

    Raises:
        SeqRecError: a mistake in recipe, data or folders.
    """
    settings = load_recipe(recipe, overrides)
    prepared = PreparedData.open(data)
    return train_recipe(settings, prepared, Path(out), resume=resume, overwrite=overwrite)


def train_recipe(
    settings: Recipe,
    prepared: PreparedData,
    out: Path,
    *,
    resume: bool,
    overwrite: bool,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """``train`` with a recipe and data that are open already; ``watch`` may end it early."""
    unfinished = out.with_name(out.name + ".partial")
    config = resolved(settings, prepared)
    if resume and not unfinished.exists():
        return _finished(out, config)
    refuse_existing(out, overwrite)
    trainer = settings.trainer
    check_devices(trainer.accelerator, trainer.devices)
    job = Job.of(settings, prepared)
    try:
        start_folder(unfinished, config, resume, overwrite)
        if trainer.devices == 1:
            metrics = job.run(settings, unfinished, watch)
        else:
            del job
            arguments = {"recipe": settings.model_dump(), "data": str(prepared.path)}
            arguments["folder"] = str(unfinished)
            run_ranks(trainer.devices, "seqrec.jobs.train", arguments)
            metrics = json.loads((unfinished / METRICS_FILE).read_text())
        swap_in(unfinished, out)
    except OSError as error:
        raise SeqRecError(f"--out {out}: cannot be written: {reason_of(error)}") from error
    return {"run": str(out), "model": str(out / "model"), **metrics, "out": str(out)}


@dataclass(frozen=True)
class Job:
    """What a recipe and a prepared folder make together, before anything is written."""

    module: TrainingModule
    loader: PackedLoader
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
        tokenizer = build_tokenizer(item_ids)
        tokens = ItemTokens.of(tokenizer, item_ids)
        stream = build_stream(recipe, prepared, tokens, rank)
        model = build_model(
            recipe.model,
            tokens,
            build_knowledge(recipe.model, prepared, stream.item_counts),
            vocab_size=len(tokenizer),
            max_length=recipe.data.max_length,
            catalog_fingerprint=prepared.catalog_fingerprint,
            tokenizer_fingerprint=tokenizer_fingerprint(tokenizer),
        )
        validation = QueryLoader(
            prepared.blocks(),
            prepared.targets,
            memory_rows=recipe.data.pool_rows,
            rank=rank,
            num_ranks=recipe.trainer.devices,
        )
        selection_k = int(recipe.trainer.selection_metric.partition("@")[2])
        module = TrainingModule(
            model,
            build_objective(recipe.objective, stream.item_counts),
            partial(build_optimizers, recipe, stream.num_batches),
            ModelRanker("validation", model, tokens),
            sorted({*VALIDATION_KS, selection_k}),
            dtype=training_dtype(recipe.trainer.precision, recipe.trainer.accelerator),
            gradient_clip=recipe.trainer.gradient_clip,
        )
        protocol = protocol_line(prepared, "validation", validation.num_queries, exclude_seen=True)
        save_items = partial(write_items, items, stream.item_counts)
        return cls(module, PackedLoader(stream), validation, tokenizer, save_items, protocol)

    def run(self, recipe: Recipe, folder: Path, watch: Watch | None = None) -> dict[str, Any]:
        """Train, and write the model and its metrics, which are answered."""
        started = time.perf_counter()
        result = self.fit(recipe, folder, watch)
        model, model_folder = self.module.model.eval(), folder / "model"
        tuned = self.choose_memory_strength(recipe) if result.has_validation else {}
        disable_progress_bar()
        model.save_pretrained(model_folder)
        self.tokenizer.save_pretrained(model_folder)
        self.save_items(model_folder / ITEMS_FILE)
        lines = read_log(folder / LOG_FILE)
        best = next(line for line in lines if line["epoch"] == result.best_epoch - 1)
        validation = {k.removeprefix("val/"): best[k] for k in best if k.startswith("val/")}
        metrics = {
            "objective": recipe.objective.name,
            "best_epoch": result.best_epoch,
            "num_epochs": result.num_epochs,
            "num_steps": result.num_steps,
            "num_parameters": model.num_parameters(),
            "selection_metric": recipe.trainer.selection_metric,
            "validation": validation | tuned,
            **({"memory_strength": model.memory.strength} if model.memory is not None else {}),
            "protocol": self.protocol,
            "train_seconds": round(sum(line["train_seconds"] for line in lines), 1),
            **{key: float(np.median([line[key] for line in lines])) for key in ACCOUNTS},
            "wall_seconds": round(time.perf_counter() - started, 1),
        }
        (folder / METRICS_FILE).write_text(json.dumps(metrics, indent=2) + "\n")
        return metrics

    def fit(self, recipe: Recipe, folder: Path, watch: Watch | None = None) -> FitResult:
        """Train in a folder that holds nothing yet, or the checkpoints of an interrupted run."""
        trainer = recipe.trainer
        shares_gpus = trainer.devices > 1 and trainer.accelerator != "cpu"
        has_sparse = not (shares_gpus and torch.cuda.is_available())  # NCCL cannot add them up
        self.module.model.use_sparse_gradients(has_sparse and is_sparse(recipe.objective.loss))
        result = fit(
            self.module,
            self.loader,
            self.validation,
            folder,
            max_epochs=trainer.max_epochs,
            patience=trainer.patience,
            selection_metric=trainer.selection_metric,
            accelerator=trainer.accelerator,
            devices=trainer.devices,
            checkpoint_minutes=trainer.checkpoint_minutes,
            ema_decay=trainer.ema_decay,
            num_scored=num_scored(recipe.objective.loss, self.module.model.config.num_items),
            watch=watch,
        )
        self.module.model.use_sparse_gradients(False)
        return result

    def choose_memory_strength(self, recipe: Recipe) -> dict[str, float]:
        """Tune what a recipe leaves open, and answer the validation's metrics under it."""
        model, settings = self.module.model, recipe.model.memory
        if model.memory is None or settings is None or settings.strength is not None:
            return {}
        metrics = choose_strength(
            self.module.ranker,
            model.memory,
            self.validation,
            recipe.trainer.selection_metric,
            self.module.ks,
        )
        model.config.memory["strength"] = model.memory.strength
        return metrics


def resolved(recipe: Recipe, prepared: PreparedData) -> dict[str, Any]:
    """Every setting of the run, and where it comes from; itself a recipe."""
    provenance = {
        "version": seqrec.__version__,
        "commit": _commit(),
        "data": str(prepared.path),
        "data_fingerprint": prepared.fingerprint,
        "catalog_fingerprint": prepared.catalog_fingerprint,
    }
    return {**recipe.model_dump(), "provenance": provenance}


def start_folder(folder: Path, config: dict[str, Any], resume: bool, overwrite: bool) -> None:
    """Make the folder to work in, or see that an interrupted run there is the one to resume."""
    if resume:
        check_same(folder / CONFIG_FILE, config)
        return
    if folder.exists():
        if not overwrite:
            raise SeqRecError(
                f"{folder}: an unfinished run is there; add --resume to go on with it, or "
                "--overwrite to start anew"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(config, sort_keys=False))


def _finished(out: Path, config: dict[str, Any]) -> dict[str, Any]:
    """What ``--resume`` answers where there is nothing to resume: the finished run's result."""
    if not (out / METRICS_FILE).exists():
        raise SeqRecError(f"--resume: {out}.partial does not exist; start without --resume")
    check_same(out / CONFIG_FILE, config)
    metrics = json.loads((out / METRICS_FILE).read_text())
    return {"run": str(out), "model": str(out / "model"), **metrics, "out": str(out)}


def check_same(file: Path, config: dict[str, Any]) -> None:
    """Refuse to resume a run under another recipe or on other data."""
    try:
        before = yaml.safe_load(file.read_text())
        before["provenance"]["data_fingerprint"]
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        raise SeqRecError(f"{file}: cannot be read; add --overwrite to start anew") from error
    now = json.loads(json.dumps(config))
    for old in (before["provenance"], now["provenance"]):
        for key in ("version", "commit", "data"):
            old.pop(key)
    for block in now:
        if before.get(block) != now[block]:
            old = before.get(block) or {}
            keys = [key for key in {**old, **now[block]} if old.get(key) != now[block].get(key)]
            raise SeqRecError(
                f"--resume: {block}.{keys[0]} differs from the run in {file.parent}; "
                "give the same recipe and data, or --overwrite"
            )


def _commit() -> str | None:
    """The commit of the checkout that seqrec runs from, if it runs from one."""
    root = Path(seqrec.__file__).parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def _train_as_rank(rank: int, arguments: dict[str, Any]) -> None:
    """What each of the processes does that ``train`` starts for several devices."""
    recipe = Recipe.model_validate(arguments["recipe"])
    job = Job.of(recipe, PreparedData.open(arguments["data"]), rank)
    work = job.fit if rank else job.run
    work(recipe, Path(arguments["folder"]))


if __name__ == "__main__":
    work_as_rank(_train_as_rank)
