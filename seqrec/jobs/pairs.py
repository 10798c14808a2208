"""``seqrec pairs``: preference pairs from ratings, from interactions, or from a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from seqrec.arguments import check_arguments
from seqrec.builders.named_models import NamedModel, check_reads_items, open_ranker
from seqrec.config.defaults import PAIRS, PairsOptions
from seqrec.data.checksums import file_sha256
from seqrec.data.feedback.annotation_files import read_comparisons
from seqrec.data.feedback.drawn_pairs import (
    DrawnPairs,
    draw_next,
    draw_rated,
    draw_rejected,
    drawn_to_table,
)
from seqrec.data.feedback.pairs import IMPLICIT
from seqrec.data.feedback.pairs_file import build_pairs, pairs_to_table, write_pairs
from seqrec.data.histories import Histories
from seqrec.data.prepared import PreparedData
from seqrec.data.tables import check_table_file
from seqrec.errors import SeqRecError
from seqrec.outputs import locate_output, new_file, refuse_existing_file, reserve_output

DRAW_OPTIONS = ("per_user", "min_history", "max_history", "seed")
OPTIONS = {
    "ratings": {"liked", "disliked", "horizon", *DRAW_OPTIONS},
    "implicit": {"model", "k", "num_rejected", *DRAW_OPTIONS},
    "file": {"file"},
}
"""The options of each source."""
AT_LEAST_ONE = ("k", "num_rejected", "per_user", "horizon", "min_history", "max_history")


class Made(NamedTuple):
    """Pairs of one source."""

    table: Any
    """The polars table of the pairs file."""
    counts: Mapping[str, int]
    """Counts of skipped input."""
    unknown: Mapping[str, str]
    """An example of each count of unknown ids."""


@check_arguments
def pairs(
    *,
    data: str | Path,
    out: str | Path,
    source: str,
    file: str | Path | None = None,
    model: NamedModel | None = None,
    k: int = PAIRS.k,
    num_rejected: int = PAIRS.num_rejected,
    per_user: int = PAIRS.per_user,
    liked: float = PAIRS.liked,
    disliked: float = PAIRS.disliked,
    horizon: int = PAIRS.horizon,
    min_history: int = PAIRS.min_history,
    max_history: int = PAIRS.max_history,
    seed: int = PAIRS.seed,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a pairs file from the training part of a prepared folder.

    Args:
        data: prepared folder.
        out: the pairs file: .parquet, .csv or .ndjson.
        source: ``ratings``: an item that a user rated high against one that the same user rated
            low; ``implicit``: the next watched item against items that ``model`` recommends and
            that are not in the user's training history; ``file``: human comparisons.
        file: the comparisons: Parquet, NDJSON, CSV or TSV.
        model: the policy whose recommendations are rejected: a run folder, a model folder or a
            baseline.
        k: number of recommended items, from which rejected items are drawn at random.
        num_rejected: largest number of rejected items in a pair, with ``implicit``.
        per_user: largest number of pairs of a user.
        liked: smallest rating of a chosen item.
        disliked: largest rating of a rejected item.
        horizon: number of interactions after the history from which rated items are drawn.
        min_history: smallest number of items in a history.
        max_history: largest number of items of a history that are written, the last ones.
        seed: seed of the random draws.
        overwrite: replace ``out``.

    Returns:
        The file, the numbers of pairs and users, counts of skipped input, and an example of each
        count of unknown ids.

    Raises:
        SeqRecError: a mistake in options, data, model or file.
    """
    options = PairsOptions(
        k=k,
        num_rejected=num_rejected,
        per_user=per_user,
        liked=liked,
        disliked=disliked,
        horizon=horizon,
        min_history=min_history,
        max_history=max_history,
        seed=seed,
    )
    _check(source, options, file, model)
    out = locate_output(out)
    format = check_table_file(out, "--out")
    refuse_existing_file(out, overwrite, (data, file, model))
    with reserve_output(out):
        prepared = PreparedData.open(data)
        if source == "file":
            made = _from_file(Path(str(file)), prepared)
        elif source == "ratings":
            made = _from_ratings(prepared, options)
        else:
            made = _from_policy(prepared, model or "", options)
        with new_file(out, overwrite=overwrite) as aside:
            write_pairs(made.table, aside, format)
    return {
        "pairs": len(made.table),
        "users": int(made.table["user_id"].drop_nulls().n_unique()),
        "counts": made.counts,
        "unknown": made.unknown,
        "out": str(out),
    }


def _from_file(path: Path, prepared: PreparedData) -> Made:
    """Read human comparisons."""
    pairs = build_pairs(read_comparisons(path), path, prepared, file_sha256(path))
    return Made(pairs_to_table(pairs, prepared), pairs.counts, pairs.unknown)


def _from_ratings(prepared: PreparedData, options: PairsOptions) -> Made:
    """Draw items rated high against items rated low."""
    histories = prepared.histories(["rating"])
    drawn = draw_rated(
        histories,
        _get_user_ids(prepared),
        liked=options.liked,
        disliked=options.disliked,
        horizon=options.horizon,
        per_user=options.per_user,
        min_history=options.min_history,
        seed=options.seed,
    )
    if not len(drawn):
        raise SeqRecError(
            f"{prepared.path}: no pairs; its training part has no users who rated "
            f"{options.liked:g} or more and {options.disliked:g} or less after a history"
        )
    return _make(drawn, histories, prepared, options.max_history, "ratings")


def _from_policy(prepared: PreparedData, model: NamedModel, options: PairsOptions) -> Made:
    """Draw watched items against items that a model recommends."""
    histories, user_ids = prepared.histories(), _get_user_ids(prepared)
    drawn = draw_next(
        histories,
        user_ids,
        per_user=options.per_user,
        min_history=options.min_history,
        seed=options.seed,
    )
    ranker = open_ranker(model, prepared, histories)
    check_reads_items(ranker, model, "seqrec pairs")

    def rank(prefixes: Sequence[Int[np.ndarray, " T"]]) -> Int[np.ndarray, "Q K"]:
        return ranker.rank(prefixes, options.k).items.numpy()

    drawn = draw_rejected(
        drawn, histories, user_ids, rank, num_rejected=options.num_rejected, seed=options.seed
    )
    if not len(drawn):
        raise SeqRecError(
            f"{prepared.path}: no pairs; its training part has no histories of --min-history items "
            "with a next one, or no items to reject"
        )
    return _make(drawn, histories, prepared, options.max_history, IMPLICIT)


def _make(
    drawn: DrawnPairs, histories: Histories, prepared: PreparedData, max_history: int, source: str
) -> Made:
    table = drawn_to_table(drawn, histories, prepared, max_history=max_history, source=source)
    num_without = prepared.num_users - table["user_id"].n_unique()
    return Made(table, {"users_without_a_pair": num_without, **drawn.skipped}, {})


def _get_user_ids(prepared: PreparedData) -> list[str]:
    return prepared.users()["user_id"].to_list()


def _check(
    source: str, options: PairsOptions, file: str | Path | None, model: NamedModel | None
) -> None:
    """Refuse options out of range, and changed options that the source does not have."""
    if source not in OPTIONS:
        raise SeqRecError(f"--source {source}: choose from {', '.join(OPTIONS)}")
    values = {**options._asdict(), "file": file, "model": model}
    defaults = {**PAIRS._asdict(), "file": None, "model": None}
    for name in sorted(values):
        option, value = f"--{name.replace('_', '-')}", values[name]
        if name not in OPTIONS[source] and value != defaults[name]:
            raise SeqRecError(f"--source {source}: has no {option}")
        if name in OPTIONS[source] and value is None:
            raise SeqRecError(f"--source {source}: needs {option}")
        if name in AT_LEAST_ONE and value < 1:
            raise SeqRecError(f"{option} {value}: at least 1")
    if not options.liked > options.disliked:
        raise SeqRecError(
            f"--liked {options.liked:g} must be above --disliked {options.disliked:g}"
        )
