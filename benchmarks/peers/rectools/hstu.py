"""Trains RecTools' HSTU, which reads times, on a prepared folder, and writes its lists.

It runs in its own environment, without seqrec. ``seqrec evaluate --recommendations`` judges the
lists. The epoch is chosen by the loss of the validation items. The time of the test's target is
known when lists are made, as it is in RecTools and in Meta's code; ``--past-times`` hides it: the
lists are made for the time of the last event.
"""

import argparse
import json
import logging
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import HSTUModel
from rectools.models.nn.item_net import IdEmbeddingsItemNet
from rectools.models.nn.transformers.utils import leave_one_out_mask

TEST = 2
"""Code of the column ``split`` of a prepared folder."""
TEMPERATURE = 0.05


def main() -> None:
    """Train, choose the epoch, write the lists, and print what it took."""
    args = parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")  # of pandas, pydantic and Lightning, about RecTools' own code
    torch.set_num_threads(args.threads)
    seed_everything(args.seed)
    known, test = read_rows(args.data)
    dataset = Dataset.construct(known)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.checkpoints or Path(temporary)
        best = ModelCheckpoint(folder, monitor="val_loss", save_last=True)
        stop = EarlyStopping("val_loss", patience=args.patience)
        model = build_model(args)
        model._trainer = ResumingTrainer(
            last=folder / "last.ckpt",
            accelerator="cpu",
            devices=1,
            max_epochs=args.epochs,
            max_time={"minutes": args.minutes},
            enable_progress_bar=False,
            enable_model_summary=False,
            logger=False,
            callbacks=[best, stop],
        )
        started = time.perf_counter()
        model.fit(dataset)
        fit_seconds = time.perf_counter() - started
        best_file = Path(model.fit_trainer.checkpoint_callback.best_model_path)
        weights = torch.load(best_file, weights_only=False)["state_dict"]
        model.lightning_model.load_state_dict(weights)
    lists = model.recommend(
        users=dataset.user_id_map.external_ids,
        dataset=dataset,
        k=args.k,
        filter_viewed=True,
        context=describe_requests(known if args.past_times else test),
    )
    write_lists(lists, args.data, args.out)
    trainer = model.fit_trainer
    report = {
        "system": f"RecTools {version('rectools')}",
        "blocks": args.blocks,
        "hidden_size": args.hidden_size,
        "epochs": trainer.current_epoch,
        "best": best_file.stem,
        "val_loss": float(trainer.callback_metrics["val_loss"]),
        "fit_seconds": fit_seconds,
        "users": int(lists[Columns.User].nunique()),
    }
    print(json.dumps(report))


class ResumingTrainer(Trainer):
    """A trainer that goes on from a checkpoint where one is there, its minutes counted on."""

    def __init__(self, *, last: Path, **options: Any) -> None:
        super().__init__(**options)
        self.last = last

    def fit(self, *args: Any, **options: Any) -> None:
        """Train as Lightning does, from the checkpoint if there is one."""
        path = str(self.last) if self.last.exists() else None
        super().fit(*args, ckpt_path=path, **options)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a prepared folder with times")
    parser.add_argument("--out", type=Path, required=True, help="a Parquet file")
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--hidden-size", type=int, default=50)
    parser.add_argument("--max-length", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--patience", type=int, default=10)
    parser.add_argument("--minutes", type=int, default=90, help="training ends after so many")
    parser.add_argument("--checkpoints", type=Path, help="training goes on from this folder")
    parser.add_argument("--past-times", action="store_true")
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def build_model(args: argparse.Namespace) -> HSTUModel:
    """HSTU with relative times and positions, and embeddings of item ids alone.

    Scores are cosines over a temperature of .05, as in Meta's code. Products of vectors without it
    learned far slower.
    """
    return HSTUModel(
        n_factors=args.hidden_size,
        n_blocks=args.blocks,
        n_heads=args.heads,
        dropout_rate=0.2,
        session_max_len=args.max_length,
        train_min_user_interactions=2,
        lr=1e-3,
        batch_size=args.batch_size,
        loss="softmax",
        similarity_module_kwargs={"distance": "cosine"},
        lightning_module_kwargs={"logits_t": TEMPERATURE},
        item_net_block_types=(IdEmbeddingsItemNet,),
        get_val_mask_func=leave_one_out_mask,
        recommend_torch_device="cpu",
    )


def read_rows(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows before the test, and those of the test, in the order of the folder.

    Events of the same second keep their order: every row is a nanosecond later than the one before.
    """
    table = pd.read_parquet(folder / "interactions.parquet")
    stamps = table["time"].to_numpy("datetime64[ns]").astype(np.int64) + np.arange(len(table))
    rows = pd.DataFrame(
        {
            Columns.User: table["user"].to_numpy(np.int64),
            Columns.Item: table["item"].to_numpy(np.int64),
            Columns.Weight: 1.0,
            Columns.Datetime: pd.to_datetime(stamps, unit="ns"),
        }
    )
    is_test = (table["split"] == TEST).to_numpy()
    return rows[~is_test], rows[is_test]


def describe_requests(rows: pd.DataFrame) -> pd.DataFrame:
    """The time of every user's list: that of the user's last row."""
    last = rows.groupby(Columns.User, sort=True)[Columns.Datetime].max().reset_index()
    return last.assign(**{Columns.Weight: 1.0})


def write_lists(lists: pd.DataFrame, data: Path, out: Path) -> None:
    """Write the lists with the ids of the log."""
    users = pd.read_parquet(data / "users.parquet")["user_id"]
    items = pd.read_parquet(data / "items.parquet")["item_id"]
    named = pd.DataFrame(
        {
            "user_id": users.to_numpy()[lists[Columns.User]],
            "item_id": items.to_numpy()[lists[Columns.Item]],
            "rank": lists[Columns.Rank].to_numpy(),
            "score": lists[Columns.Score].to_numpy(),
        }
    )
    named.to_parquet(out, index=False)


if __name__ == "__main__":
    main()
