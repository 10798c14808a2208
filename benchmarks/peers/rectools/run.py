"""Times RecTools' SASRec on a prepared folder: one training run, or lists for all users.

It runs in its own environment, without seqrec, and prints one JSON object as its last line.
"""

import argparse
import json
import logging
import platform
import resource
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel
from rectools.models.nn.item_net import IdEmbeddingsItemNet
from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers
from rectools.models.nn.transformers.sasrec import SASRecTransformerLayers

TRAIN, VALIDATION = 0, 1
"""Codes of the column ``split`` of a prepared folder."""

LAYERS: dict[str, Any] = {"preln": PreLNTransformerLayers, "sasrec": SASRecTransformerLayers}
"""Blocks that RecTools ships; in its default, ``sasrec``, the inner width is the outer one."""


def main() -> None:
    """Run what the command line asks for and print its measurements."""
    args = parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")  # of pandas, pydantic and Lightning, about RecTools' own code
    torch.set_num_threads(args.threads)
    measured = train(args) if args.verb == "train" else recommend(args)
    report = {
        "system": f"RecTools {version('rectools')}",
        "verb": args.verb,
        "batch_size": args.batch_size,
        "max_length": args.max_length,
        "layers": args.layers,
        "threads": args.threads,
        "workers": args.workers,
        **measured,
        "peak_memory_mb": peak_memory_mb(),
        "versions": {
            "python": platform.python_version(),
            **{
                name: version(name)
                for name in ("rectools", "torch", "pytorch-lightning", "numpy", "pandas")
            },
        },
    }
    print(json.dumps(report))


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data", type=Path, required=True, help="a prepared folder")
    common.add_argument("--max-length", type=int, default=50)
    common.add_argument("--hidden-size", type=int, default=64)
    common.add_argument("--inner-size", type=int, default=256, help="of preln")
    common.add_argument("--blocks", type=int, default=2)
    common.add_argument("--heads", type=int, default=2)
    common.add_argument("--layers", choices=sorted(LAYERS), default="preln")
    common.add_argument("--threads", type=int, default=2)
    common.add_argument("--workers", type=int, default=0, help="processes that load batches")
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    train = verbs.add_parser("train", parents=[common])
    train.add_argument("--loss", choices=["softmax", "sampled_softmax"], default="softmax")
    train.add_argument("--negatives", type=int, default=256)
    train.add_argument("--batch-size", type=int, default=128)
    train.add_argument("--epochs", type=int, default=2)
    train.add_argument("--max-steps", type=int, help="batches an epoch; extrapolates the rest")
    recommend = verbs.add_parser("recommend", parents=[common])
    recommend.add_argument("--k", type=int, default=50)
    recommend.add_argument("--batch-size", type=int, default=256)
    recommend.add_argument("--repeats", type=int, default=2)
    return parser.parse_args()


class EpochTimer(Callback):
    """Measures each training epoch, from its start to its end."""

    def __init__(self) -> None:
        self.epoch_seconds: list[float] = []
        self._started = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self.epoch_seconds.append(time.perf_counter() - self._started)


def train(args: argparse.Namespace) -> dict[str, Any]:
    """Train on the training rows, without validation."""
    dataset = read_dataset(args.data, [TRAIN])
    model = build_model(args, args.loss, args.negatives, args.batch_size)
    model._trainer = build_trainer(
        max_epochs=args.epochs,
        min_epochs=args.epochs,
        limit_train_batches=args.max_steps,
        callbacks=[EpochTimer()],
    )
    started = time.perf_counter()
    model.fit(dataset)
    fit_seconds = time.perf_counter() - started

    # RecTools fits a copy of the trainer: the times stand in the copy's callback.
    trainer = model.fit_trainer
    (timer,) = (callback for callback in trainer.callbacks if isinstance(callback, EpochTimer))
    trained_on = model.data_preparator.train_dataset
    num_users = trained_on.user_id_map.size
    measured: dict[str, Any] = {
        "loss": args.loss,
        "negatives": None if args.loss == "softmax" else args.negatives,
        "num_users": num_users,
        "num_items": len(model.data_preparator.get_known_item_ids()),
        "num_interactions": len(trained_on.interactions.df) - num_users,
        "num_parameters": sum(weight.numel() for weight in model.torch_model.parameters()),
        "train_loss": float(trainer.callback_metrics["train_loss"]),
        "epoch_seconds": timer.epoch_seconds,
        "fit_seconds": fit_seconds,
    }
    if args.max_steps is not None:
        share = min(args.max_steps * args.batch_size, num_users) / num_users
        measured["epoch_seconds"] = [seconds / share for seconds in timer.epoch_seconds]
        measured["extrapolated"] = True
    return measured


def recommend(args: argparse.Namespace) -> dict[str, Any]:
    """Recommend to all users, seen items left out, with a model that was hardly trained.

    Weights do not change how long this takes, so one small step with the cheapest loss is all
    the training there is. Encoding the histories is part of the time.
    """
    dataset = read_dataset(args.data, [TRAIN, VALIDATION])
    model = build_model(args, "BCE", num_negatives=1, batch_size=8)
    model.recommend_batch_size = args.batch_size
    model._trainer = build_trainer(max_steps=1)
    model.fit(dataset)
    seconds = []
    for _ in range(args.repeats):
        started = time.perf_counter()
        lists = model.recommend(
            users=dataset.user_id_map.external_ids,
            dataset=dataset,
            k=args.k,
            filter_viewed=True,
            on_unsupported_targets="ignore",
        )
        seconds.append(time.perf_counter() - started)
    num_users = lists[Columns.User].nunique()
    return {
        "k": args.k,
        "num_items": len(model.data_preparator.get_known_item_ids()),
        "num_interactions": len(dataset.interactions.df),
        "users": num_users,
        "seconds": seconds,
        "users_per_second": num_users / min(seconds),
    }


def read_dataset(folder: Path, parts: list[int]) -> Dataset:
    """The rows of some parts of a prepared folder.

    They stand by user, oldest first, so that a row's number serves as its time, in seconds:
    the order of the folder, ties among them, is kept.
    """
    table = pd.read_parquet(folder / "interactions.parquet", columns=["user", "item", "split"])
    table = table[table["split"].isin(parts)]
    rows = pd.DataFrame(
        {
            Columns.User: table["user"].to_numpy(np.int64),
            Columns.Item: table["item"].to_numpy(np.int64),
            Columns.Weight: 1.0,
            Columns.Datetime: pd.to_datetime(np.arange(len(table)), unit="s"),
        }
    )
    return Dataset.construct(rows)


def build_model(
    args: argparse.Namespace, loss: str, num_negatives: int, batch_size: int
) -> SASRecModel:
    """SASRec with embeddings of item ids alone."""
    return SASRecModel(
        n_factors=args.hidden_size,
        n_blocks=args.blocks,
        n_heads=args.heads,
        dropout_rate=0.2,
        lr=1e-3,
        session_max_len=args.max_length,
        train_min_user_interactions=2,
        loss=loss,
        n_negatives=num_negatives,
        batch_size=batch_size,
        dataloader_num_workers=args.workers,
        item_net_block_types=(IdEmbeddingsItemNet,),
        recommend_torch_device="cpu",
        transformer_layers_type=LAYERS[args.layers],
        transformer_layers_kwargs=layer_settings(args),
    )


def layer_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The inner width, for blocks that accept one."""
    return (
        {"ff_factors_multiplier": args.inner_size // args.hidden_size}
        if args.layers == "preln"
        else {}
    )


def build_trainer(**settings: Any) -> Trainer:
    """RecTools' own default trainer, with further settings."""
    return Trainer(
        accelerator="cpu",
        devices=1,
        deterministic=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        logger=False,
        **settings,
    )


def peak_memory_mb() -> float:
    """The most memory this process ever held.

    ``ru_maxrss`` counts the memory of the process that started this one, too, so it is the
    fallback where the system does not say better.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (
            line
            for line in status.read_text(encoding="utf-8").splitlines()
            if line.startswith("VmHWM")
        )
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
