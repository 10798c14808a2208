"""The preference recipe beside the SFT runs that it starts from, three seeds, test part."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.engine.prepared import FOLDER, prepared
from benchmarks.engine.rows import Row, at_least, row
from benchmarks.preference.later import Judged, compared, judged
from benchmarks.quality.table import RECIPES, SEEDS, seqrec
from seqrec.data.pairs import NONE, Pairs, read_pairs
from seqrec.data.prepared import PreparedData

NAME = Path(__file__).stem
MODULE = "benchmarks.preference"
DATA = "ml-1m-last"
HELD_OUT_SHARE = 0.1
LET_GO = (
    "objective.loss.beta=0.1",
    "objective.sft_share=0.1",
    "objective.tolerance=0.99",
    "trainer.learning_rate=0.0001",
)
"""The recipe with a long leash: what accuracy on pairs costs."""
SYSTEMS = {"DPO": ("dpo", ()), "DPO, let go": ("dpo-let-go", LET_GO)}
METRICS = (
    "ndcg@10 on liked",
    "lists with a disliked title",
    "recall@10 on liked",
    "recall@10",
    "recall@50",
)


def measure(quick: bool) -> Iterator[Row]:
    """Rows of pairs and of what people later liked, and what changed."""
    data = prepared(DATA)
    pairs = pairs_file(data)
    seeds = SEEDS[: 1 if quick else None]
    recipe = RECIPES / "preference" / "dpo.yaml"
    runs = {"SFT": [sft_run(data, seed, quick) for seed in seeds]}
    for system, (name, settings) in SYSTEMS.items():
        runs[system] = [
            trained(name, recipe, data, start, pairs, seed, quick, *settings)
            for seed, start in zip(seeds, runs["SFT"], strict=True)
        ]
    yield from pair_rows(data, pairs, runs)
    of = {name: Judged.mean_of([judged(run, data) for run in of]) for name, of in runs.items()}
    for metric in METRICS:
        for name, found in of.items():
            difference = compared(found.values[metric], of["SFT"].values[metric])
            yield row(
                NAME,
                f"{DATA}, {metric}, {len(seeds)} seeds",
                [found.mean(metric)],
                "",
                system=name,
                note="" if name == "SFT" else f"against SFT: {difference}",
                module=MODULE,
            )
    for name in SYSTEMS:
        recall = of[name].mean("recall@10 on liked")
        cut = of["SFT"].disliked_at_recall(recall)
        disliked = of[name].values["lists with a disliked title"]
        yield row(
            NAME,
            f"{DATA}, lists with a disliked title where SFT's recall as much of the liked ones",
            [float(np.nanmean(disliked))],
            "",
            system=name,
            note=f"SFT {np.nanmean(cut):.4f}, lists cut for a recall of {recall:.4f}: "
            f"{compared(disliked, cut)}",
            module=MODULE,
        )


def pairs_file(data: Path) -> Path:
    """Pairs from the ratings of the training part."""
    file = FOLDER / "preference-pairs.parquet"
    if not file.exists():
        seqrec("pairs", "--data", str(data), "--source", "ratings", "--out", str(file))
    return file


def sft_run(data: Path, seed: int, quick: bool) -> Path:
    """The model that preferences start from, trained on the same split."""
    out = FOLDER / ("quick" if quick else "runs") / f"{DATA}-sft" / f"seed-{seed}"
    if not out.exists():
        short = ["trainer.max_epochs=1"] if quick else []
        seqrec(
            *("train", str(RECIPES / "preference" / "sft.yaml"), "--data", str(data)),
            *("--out", str(out), f"trainer.seed={seed}", "trainer.accelerator=cpu", *short),
        )
    return out


def trained(
    name: str,
    recipe: Path | str,
    data: Path,
    start: Path,
    pairs: Path,
    seed: int,
    quick: bool,
    *overrides: str,
) -> Path:
    """A run of preference optimisation; one that is there is not done again."""
    out = FOLDER / ("quick" if quick else "runs") / f"{DATA}-{name}" / f"seed-{seed}"
    if out.exists() and not quick:
        return out
    short = ["trainer.max_epochs=1"] if quick else []
    seqrec(
        *("train", str(recipe), "--data", str(data), "--out", str(out), "--overwrite"),
        *(f"model.from_pretrained={start}", f"data.pairs={pairs}", f"trainer.seed={seed}"),
        *(f"data.held_out_share={HELD_OUT_SHARE}", "trainer.accelerator=cpu"),
        *overrides,
        *short,
    )
    return out


def pair_rows(data: Path, file: Path, runs: dict[str, list[Path]]) -> Iterator[Row]:
    """Accuracy on the pairs of users that were held out, beside the titles' mean rating."""
    prepared_data = PreparedData.open(data)
    pairs = read_pairs(file, prepared_data)
    is_held_out = pairs.held_out(HELD_OUT_SHARE)
    users = np.unique(np.asarray(pairs.user_ids)[is_held_out], return_inverse=True)[1]
    floor = by_mean_rating(data, pairs)[is_held_out]
    base = None
    for name, folders in runs.items():
        right = np.mean([is_right(run, data, file)[is_held_out] for run in folders], axis=0)
        base = right if base is None else base
        counts = np.bincount(users)
        per_user, of_floor = (np.bincount(users, weights=x) / counts for x in (right, floor))
        yield row(
            NAME,
            "pairs of held-out users, accuracy",
            [float(right.mean())],
            "",
            system=name,
            ratio=float(right.mean() - base.mean()),
            target=None if name == "SFT" else at_least(0.1),
            note=f"ratio: points over SFT; a user's mean against mean rating: "
            f"{compared(per_user, of_floor)}",
            module=MODULE,
        )
    yield row(
        NAME,
        "pairs of held-out users, accuracy",
        [float(floor.mean())],
        "",
        system="titles' mean rating",
        module=MODULE,
    )


def is_right(run: Path, data: Path, file: Path) -> np.ndarray:
    """Of every pair, whether the chosen title is the likelier one; equal ones count half."""
    cache = run / "pairs-cache.parquet"
    seqrec(
        *("cache", str(run), "--data", str(data), "--pairs", str(file)),
        *("--out", str(cache), "--overwrite"),
    )
    table = pl.read_parquet(cache)
    rejected = np.array(table["rejected"].to_list())[:, 0]
    gap = table["chosen"].to_numpy() - rejected
    return np.where(gap == 0, 0.5, gap > 0)


def by_mean_rating(data: Path, pairs: Pairs) -> np.ndarray:
    """The same by the titles' mean rating in the training part, which knows no user."""
    rows = pl.read_parquet(data / "interactions.parquet")
    training = rows.filter(pl.col("split") == 0)
    num_items = PreparedData.open(data).num_items
    items, ratings = training["item"].to_numpy(), training["rating"].to_numpy()
    counts = np.bincount(items, minlength=num_items)
    mean = (np.bincount(items, ratings, minlength=num_items) + ratings.mean()) / (counts + 1)
    chosen, rejected = pairs.chosen[:, 0], pairs.rejected[:, 0, 0]
    assert (chosen != NONE).all() and (rejected != NONE).all()
    gap = mean[chosen] - mean[rejected]
    return np.where(gap == 0, 0.5, gap > 0)
