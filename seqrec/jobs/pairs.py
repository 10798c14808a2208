"""``seqrec pairs``: preference data, from ratings, from what was watched, or from people."""

from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from seqrec.builders.named_models import check_reads_titles, open_ranker
from seqrec.config.defaults import PAIRS
from seqrec.data.feedback.pair_sources import (
    Drawn,
    draw_next,
    draw_rated,
    drawn_table,
    read_comparisons,
    reject_from,
    table_of,
)
from seqrec.data.feedback.pairs import IMPLICIT, pairs_of, write_pairs
from seqrec.data.log.sources import sha256_of
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.outputs import new_file, refuse_existing_file

DRAWN = ("per_user", "min_history", "max_history", "seed")
OPTIONS = {
    "ratings": {"liked", "disliked", "horizon", *DRAWN},
    "implicit": {"model", "k", "num_rejected", *DRAWN},
    "file": {"file"},
}
"""By source, what it reads."""
AT_LEAST_ONE = ("k", "num_rejected", "per_user", "horizon", "min_history", "max_history")


def pairs(
    *,
    data: str | Path,
    out: str | Path,
    source: str,
    file: str | Path | None = None,
    model: str | Path | None = None,
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
    """Write a pairs file of a prepared folder's training part.

    Args:
        data: prepared folder.
        out: the pairs file.
        source: ``ratings``: a title that a user rated well against one that the same user rated
            badly; ``implicit``: what was watched next against titles that ``model`` would have
            recommended and that the user's training history lacks; ``file``: comparisons made by
            people.
        file: of people's comparisons: Parquet, NDJSON, CSV or TSV.
        model: the policy whose lists are rejected: a run, a model folder, a baseline.
        k: length of the policy's lists, of which rejected titles are drawn at random.
        num_rejected: titles that a comparison with a policy rejects, at most.
        per_user: comparisons of a user, at most.
        liked: the least rating of a chosen title.
        disliked: the largest rating of a rejected one.
        horizon: interactions after the history from which rated titles are drawn.
        min_history: titles that a history has at least.
        max_history: last titles of a history that are written.
        seed: of the draws.
        overwrite: replace ``out``.

    Returns:
        The file, counts of pairs, users and what was left out, and by count of what is unknown
        an example.

    Raises:
        SeqRecError: a mistake in options, data, model or file.
    """
    options = {
        "file": file,
        "model": model,
        "k": k,
        "num_rejected": num_rejected,
        "per_user": per_user,
        "liked": liked,
        "disliked": disliked,
        "horizon": horizon,
        "min_history": min_history,
        "max_history": max_history,
        "seed": seed,
    }
    _check(source, options)
    out = Path(out)
    refuse_existing_file(out, overwrite)
    prepared = PreparedData.open(data)
    unknown: dict[str, str] = {}
    if source == "file":
        path = Path(str(file))
        given = pairs_of(read_comparisons(path), path, prepared, sha256_of(path))
        table, counts, unknown = table_of(given, prepared), given.counts, given.unknown
    else:
        draws = {"per_user": per_user, "min_history": min_history, "seed": seed}
        if source == "ratings":
            histories = prepared.histories(["rating"])
            bounds = {"liked": liked, "disliked": disliked, "horizon": horizon}
            drawn = draw_rated(histories, _user_ids(prepared), **bounds, **draws)  # type: ignore[arg-type]
        else:
            histories = prepared.histories()
            drawn = draw_next(histories, _user_ids(prepared), **draws)
            ranker = open_ranker(str(model), prepared, histories)
            check_reads_titles(ranker, str(model), "seqrec pairs")

            def rank(asked: Sequence[Int[np.ndarray, " T"]]) -> Int[np.ndarray, "Q K"]:
                return ranker.rank(asked, k).items.numpy()

            drawn = reject_from(
                drawn, histories, _user_ids(prepared), rank, num_rejected=num_rejected, seed=seed
            )
        _refuse_none(drawn, source, prepared, liked, disliked)
        name = IMPLICIT if source == "implicit" else "ratings"
        table = drawn_table(drawn, histories, prepared, max_history=max_history, source=name)
        num_without = prepared.num_users - table["user_id"].n_unique()
        counts = {"users_without_a_pair": num_without, **drawn.left_out}
    with new_file(out, overwrite=overwrite) as aside:
        write_pairs(table, aside)
    users = int(table["user_id"].drop_nulls().n_unique())
    found = {"pairs": len(table), "users": users, "counts": counts, "unknown": unknown}
    return {**found, "out": str(out)}


def _user_ids(prepared: PreparedData) -> list[str]:
    return prepared.users()["user_id"].to_list()


def _check(source: str, given: dict[str, Any]) -> None:
    """Refuse what is out of range, or was changed and is not read."""
    if source not in OPTIONS:
        raise SeqRecError(f"--source {source}: choose from {', '.join(OPTIONS)}")
    parameters = signature(pairs).parameters
    for name in sorted(set().union(*OPTIONS.values())):
        option, value = f"--{name.replace('_', '-')}", given[name]
        is_default = value == parameters[name].default
        if name not in OPTIONS[source] and not is_default:
            raise SeqRecError(f"--source {source}: has no {option}")
        if name in OPTIONS[source] and value is None:
            raise SeqRecError(f"--source {source}: needs {option}")
        if name in AT_LEAST_ONE and value < 1:
            raise SeqRecError(f"{option} {value}: at least 1")
    if not given["liked"] > given["disliked"]:
        raise SeqRecError(
            f"--liked {given['liked']:g} must be above --disliked {given['disliked']:g}"
        )


def _refuse_none(
    drawn: Drawn, source: str, prepared: PreparedData, liked: float, disliked: float
) -> None:
    if len(drawn):
        return
    why = "histories of --min-history titles that go on, or titles to reject"
    if source == "ratings":
        why = f"users who rated {liked:g} or more and {disliked:g} or less after a history"
    raise SeqRecError(f"{prepared.path}: no pairs; its training part has no {why}")
