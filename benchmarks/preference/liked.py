"""The preference recipe beside the SFT runs that it starts from, three seeds, test part."""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import numpy as np
import polars as pl

from benchmarks.engine.prepared import FOLDER, prepared
from benchmarks.engine.rows import Row, at_least, row
from benchmarks.preference.later import Judged, beside, by_seed, judged, mean_of, verdicts
from benchmarks.quality.table import RECIPES, SEEDS, seqrec
from seqrec.data.feedback.answers import NO_ITEM
from seqrec.data.feedback.pairs import Pairs
from seqrec.data.feedback.pairs_file import read_pairs
from seqrec.data.prepared import PreparedData

NAME = Path(__file__).stem
MODULE = "benchmarks.preference"
DATA = "ml-1m-last"
FLOOR = "titles' mean rating"
ACCURACY = "pairs of held-out users, accuracy"
DISLIKED = "lists with a disliked title"
AT_RECALL = f"{DISLIKED} where SFT's recall as much of the liked ones"
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
    DISLIKED,
    "recall@10 on liked",
    "recall@10",
    "recall@50",
)


def measure(quick: bool) -> Iterator[Row]:
    """Rows for pairs, for items liked later, and for their changes."""
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
    right, users = rightly_ordered(data, pairs, runs)
    accuracy = {name: of_users(of_pairs, users) for name, of_pairs in right.items()}
    lists = {name: [judged(run, data) for run in of] for name, of in runs.items()}
    values = {(m, name): by_seed(of, m) for m in METRICS for name, of in lists.items()}
    recall = {name: [run.mean("recall@10 on liked") for run in lists[name]] for name in SYSTEMS}
    cut = {name: sft_cut(lists["SFT"], recall[name]) for name in SYSTEMS}
    said = verdicts(
        {(ACCURACY, name): (accuracy[name], accuracy[FLOOR]) for name in runs}
        | {(m, name): (values[m, name], values[m, "SFT"]) for m in METRICS for name in SYSTEMS}
        | {(AT_RECALL, name): (values[DISLIKED, name], cut[name]) for name in SYSTEMS}
    )
    yield from accuracy_rows(right, said)
    for (metric, name), by_user in values.items():
        yield row(
            NAME,
            f"{DATA}, {metric}, {len(seeds)} seeds",
            [mean_of(by_user)],
            "",
            system=name,
            note="" if name == "SFT" else f"against SFT: {said[metric, name]}",
            module=MODULE,
        )
    for name in SYSTEMS:
        yield row(
            NAME,
            f"{DATA}, {AT_RECALL}",
            [mean_of(values[DISLIKED, name])],
            "",
            system=name,
            note=f"SFT {mean_of(cut[name]):.4f}, lists cut for a recall of "
            f"{fmean(recall[name]):.4f}: {said[AT_RECALL, name]}",
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


def rightly_ordered(
    data: Path, file: Path, runs: dict[str, list[Path]]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """By system and in the end by mean rating, which pairs of held-out users are ordered rightly.

    A row a seed, a column a pair; and whose pair each is.
    """
    pairs = read_pairs(file, PreparedData.open(data))
    is_held_out = pairs.is_held_out(HELD_OUT_SHARE)
    users = np.unique(np.asarray(pairs.user_ids)[is_held_out], return_inverse=True)[1]
    right = {
        name: np.stack([is_right(run, data, file)[is_held_out] for run in folders])
        for name, folders in runs.items()
    }
    return {**right, FLOOR: by_mean_rating(data, pairs)[None, is_held_out]}, users


def accuracy_rows(right: dict[str, np.ndarray], said: dict[tuple[str, str], str]) -> Iterator[Row]:
    """Means over all seeds and pairs; verdicts are over users."""
    for name, of_pairs in right.items():
        more = {}
        if name != FLOOR:
            more["ratio"] = float(of_pairs.mean() - right["SFT"].mean())
            more["note"] = (
                f"ratio: points over SFT; a user's mean against mean rating: {said[ACCURACY, name]}"
            )
        target = at_least(0.1) if name in SYSTEMS else None
        values = [float(of_pairs.mean())]
        yield row(NAME, ACCURACY, values, "", system=name, target=target, module=MODULE, **more)


def of_users(of_pairs: np.ndarray, users: np.ndarray) -> np.ndarray:
    """Every user's mean, a row a seed."""
    sums = np.stack([np.bincount(users, weights=of_seed) for of_seed in of_pairs])
    return sums / np.bincount(users)


def sft_cut(starts: list[Judged], recall: list[float]) -> np.ndarray:
    """SFT's lists that hold a disliked item, cut where each seed has the same recall."""
    return np.stack(
        [run.disliked_at_recall(least) for run, least in zip(starts, recall, strict=True)]
    )


def is_right(run: Path, data: Path, file: Path) -> np.ndarray:
    """For every pair, whether the chosen item is more probable; ties count half."""
    cache = beside(run, "pairs-cache")
    seqrec(
        *("cache", str(run), "--data", str(data), "--pairs", str(file)),
        *("--out", str(cache), "--overwrite"),
    )
    table = pl.read_parquet(cache)
    rejected = np.array(table["rejected"].to_list())[:, 0]
    gap = table["chosen"].to_numpy() - rejected
    return np.where(gap == 0, 0.5, gap > 0)


def by_mean_rating(data: Path, pairs: Pairs) -> np.ndarray:
    """The same by the items' mean rating in the training part, which is not personal."""
    rows = pl.read_parquet(data / "interactions.parquet")
    training = rows.filter(pl.col("split") == 0)
    num_items = PreparedData.open(data).num_items
    items, ratings = training["item"].to_numpy(), training["rating"].to_numpy()
    counts = np.bincount(items, minlength=num_items)
    mean = (np.bincount(items, ratings, minlength=num_items) + ratings.mean()) / (counts + 1)
    chosen, rejected = pairs.chosen[:, 0], pairs.rejected[:, 0, 0]
    assert (chosen != NO_ITEM).all() and (rejected != NO_ITEM).all()
    gap = mean[chosen] - mean[rejected]
    return np.where(gap == 0, 0.5, gap > 0)
