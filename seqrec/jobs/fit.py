"""``seqrec.fit``: from a log to a recommender in one call, without folders."""

import tempfile
from pathlib import Path
from typing import Any

import seqrec
from seqrec.arguments import check_arguments
from seqrec.config.defaults import PREPARE
from seqrec.config.given_overrides import Overrides
from seqrec.data.preparation.filters import Repeats
from seqrec.ranking.recommender import Recommender

NAME = "fitted"


@check_arguments
def fit(
    source: Any,
    recipe: str | Path = "sft",
    *,
    overrides: Overrides = (),
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    rating: str | None = None,
    order: str | None = None,
    time_format: str | None = None,
    items: Any = None,
    min_rating: float | None = None,
    min_user: int = PREPARE.min_user,
    min_item: int = PREPARE.min_item,
    repeats: Repeats = PREPARE.repeats,
    split_by: str = PREPARE.split_by,
) -> Recommender:
    """Prepare a log, train a recipe on it and return the model, in a temporary folder.

    The folder is removed at the end. ``prepare`` and ``train`` keep their folders and have more
    options.

    Args:
        source: a polars, pandas or Arrow frame, a file, a folder, or a known dataset's name.
        recipe: a shipped recipe's name or a YAML file.
        overrides: settings of the recipe; see ``train``.
        user: column of the user; guessed from names and values if None, as the next three.
        item: column of the item.
        time: column of the time.
        rating: column of the rating.
        order: column with the order of each user's interactions, for a log without times.
        time_format: format of the times, as in ``prepare``.
        items: a file or frame with features of the items, as in ``prepare``.
        min_rating: drop rows with a lower rating.
        min_user: drop users with fewer interactions.
        min_item: drop items with fewer interactions.
        repeats: what becomes of repeated interactions, as in ``prepare``.
        split_by: the split; its validation part selects the epoch, and its test part is not
            trained on. ``none`` trains on everything.

    Returns:
        The recommender, in memory; its lists are those of a run folder of the same recipe and data.

    Raises:
        SeqRecError: a mistake in the log, the recipe or the options.
    """
    with tempfile.TemporaryDirectory(prefix="seqrec-") as folder:
        data, run = Path(folder) / "data", Path(folder) / "run"
        seqrec.prepare(
            source,
            out=data,
            user=user,
            item=item,
            time=time,
            rating=rating,
            order=order,
            time_format=time_format,
            items=items,
            min_rating=min_rating,
            min_user=min_user,
            min_item=min_item,
            repeats=repeats,
            split_by=split_by,
        )
        seqrec.train(recipe, data=data, out=run, overrides=overrides)
        recommender = Recommender.from_pretrained(run)
    recommender.folder = None  # which is removed
    return recommender.with_name(NAME)
