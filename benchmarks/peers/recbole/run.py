"""Times RecBole's SASRec on a prepared folder: training, with validation after every epoch.

It runs in its own environment, without seqrec, and prints one JSON object as its last line.
RecBole splits by itself: the folder must be one of ``--split-by leave-one-out``.
"""

import argparse
import contextlib
import json
import platform
import resource
import sys
import tempfile
import time
import warnings
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import torch

# Not recbole.quick_start: it imports ray, whose last release that RecBole takes needs
# pkg_resources, which setuptools no longer brings.
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.sequential_recommender import SASRec
from recbole.trainer import Trainer
from recbole.utils import init_seed

DATASET = "prepared"
"""RecBole's name of the data: of a folder and of the file in it."""


def main() -> None:
    """Run what the command line asks for and print its measurements."""
    args = parse_args()
    sys.argv[1:] = []  # RecBole would read them as settings of its own.
    warnings.simplefilter("ignore")  # of pandas and torch, about RecBole's own code
    torch.set_num_threads(args.threads)
    args.data = args.data.resolve()
    # RecBole writes TensorBoard logs below the working directory.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        measured = train(args, Path(folder))
    report = {
        "system": f"RecBole {version('recbole')}",
        "verb": "train",
        "loss": "softmax",
        "batch_size": args.batch_size,
        "max_length": args.max_length,
        "threads": args.threads,
        **measured,
        "peak_memory_mb": peak_memory_mb(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("recbole", "torch", "numpy", "pandas")},
        },
    }
    print(json.dumps(report))


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    train = verbs.add_parser("train")
    train.add_argument("--data", type=Path, required=True, help="a prepared folder")
    train.add_argument("--max-length", type=int, default=50)
    train.add_argument("--hidden-size", type=int, default=64)
    train.add_argument("--inner-size", type=int, default=256)
    train.add_argument("--blocks", type=int, default=2)
    train.add_argument("--heads", type=int, default=2)
    train.add_argument("--batch-size", type=int, default=2048)
    train.add_argument("--epochs", type=int, default=2)
    train.add_argument("--patience", type=int, default=10, help="epochs without a better NDCG@10")
    train.add_argument("--max-steps", type=int, help="batches an epoch; extrapolates the rest")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


class TimedTrainer(Trainer):
    """RecBole's trainer with a clock around each training and each validation."""

    def __init__(self, config: Config, model: SASRec, max_steps: int | None) -> None:
        super().__init__(config, model)
        self.max_steps = max_steps
        self.epoch_seconds: list[float] = []
        self.validation_seconds: list[float] = []

    def _train_epoch(self, train_data: Any, *args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        loss = super()._train_epoch(islice(train_data, self.max_steps), *args, **kwargs)
        self.epoch_seconds.append(time.perf_counter() - started)
        return loss

    def _valid_epoch(self, *args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        result = super()._valid_epoch(*args, **kwargs)
        self.validation_seconds.append(time.perf_counter() - started)
        return result


def train(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Train in an empty folder, with validation after every epoch and no checkpoints."""
    started = time.perf_counter()
    write_atomic(args.data, folder / DATASET)
    config = Config(model="SASRec", dataset=DATASET, config_dict=settings(args, folder))
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    train_data, valid_data, _ = data_preparation(config, dataset)
    model = SASRec(config, train_data.dataset)
    trainer = TimedTrainer(config, model, args.max_steps)
    setup_seconds = time.perf_counter() - started

    started = time.perf_counter()
    _, best = trainer.fit(train_data, valid_data, verbose=False, saved=False)
    fit_seconds = time.perf_counter() - started
    num_targets = len(train_data.dataset)
    measured: dict[str, Any] = {
        "num_users": dataset.user_num - 1,
        "num_items": dataset.item_num - 1,
        "num_interactions": num_targets,
        "num_validated": len(valid_data.dataset),
        "num_parameters": sum(weight.numel() for weight in model.parameters()),
        "validation": dict(best),
        "setup_seconds": setup_seconds,
        "epoch_seconds": trainer.epoch_seconds,
        "validation_seconds": trainer.validation_seconds,
        "fit_seconds": fit_seconds,
    }
    if args.max_steps is not None:
        share = min(args.max_steps * args.batch_size, num_targets) / num_targets
        measured["epoch_seconds"] = [seconds / share for seconds in trainer.epoch_seconds]
        measured["extrapolated"] = True
    return measured


def write_atomic(prepared: Path, folder: Path) -> None:
    """Write all rows of a prepared folder as RecBole's atomic file.

    They stand by user, oldest first; a row's place in its history serves as its time, so that
    the order of the folder, ties among them, is kept.
    """
    table = pd.read_parquet(prepared / "interactions.parquet", columns=["user", "item"])
    rows = pd.DataFrame(
        {
            "user_id:token": table["user"],
            "item_id:token": table["item"],
            "timestamp:float": table.groupby("user").cumcount(),
        }
    )
    folder.mkdir()
    rows.to_csv(folder / f"{folder.name}.inter", sep="\t", index=False)


def settings(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The settings that differ from RecBole's defaults, or that the comparison rests on."""
    return {
        "data_path": str(folder),
        "checkpoint_dir": str(folder / "saved"),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "USER_ID_FIELD": "user_id",
        "ITEM_ID_FIELD": "item_id",
        "TIME_FIELD": "timestamp",
        "MAX_ITEM_LIST_LENGTH": args.max_length,
        "n_layers": args.blocks,
        "n_heads": args.heads,
        "hidden_size": args.hidden_size,
        "inner_size": args.inner_size,
        "hidden_dropout_prob": 0.2,
        "attn_dropout_prob": 0.0,
        "loss_type": "CE",
        "train_neg_sample_args": None,
        "learning_rate": 1e-3,
        "train_batch_size": args.batch_size,
        "epochs": args.epochs,
        "stopping_step": args.patience,
        "eval_step": 1,
        "eval_args": {
            "split": {"LS": "valid_and_test"},
            "order": "TO",
            "group_by": "user",
            "mode": "full",
        },
        "repeatable": True,
        "metrics": ["Recall", "NDCG"],
        "topk": [10],
        "valid_metric": "NDCG@10",
        "seed": args.seed,
        "use_gpu": False,
        "gpu_id": "",
        "show_progress": False,
    }


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
