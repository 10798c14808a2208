"""Lists for many histories: of a log of new users, or of the users of a prepared folder."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from seqrec.baselines import NAMES
from seqrec.builders.named_models import NamedModel, open_ranker, open_recommender
from seqrec.data.histories import Histories
from seqrec.data.history_frames import read_histories
from seqrec.data.id_lists import read_ids
from seqrec.data.item_table import ItemTable
from seqrec.data.prepared import PreparedData, TargetMode
from seqrec.data.recommendations import TIME_INPUT, build_recommendations_table
from seqrec.data.tables import check_table_file, is_frame, write_table
from seqrec.errors import SeqRecError
from seqrec.evaluation.conditions import (
    adapt_queries,
    get_time_input,
    has_target_times,
    read_whole_histories,
    with_conditions,
)
from seqrec.evaluation.protocol import build_queries
from seqrec.outputs import new_file
from seqrec.ranking.item_stores import open_item_store
from seqrec.ranking.list_options import Asked, ListOptions, build_rules
from seqrec.ranking.list_rules import Search, rank_by_rules, select_histories
from seqrec.ranking.ranker import Ranker
from seqrec.ranking.recommender import Recommender
from seqrec.ranking.served import (
    Reading,
    Served,
    check_guidance,
    describe_unknown,
    serve_baseline,
)
from seqrec.retrieval.exact import TopK
from seqrec.retrieval.index_folder import load_index
from seqrec.retrieval.stores.urls import is_store, mask_url
from seqrec.tokens.events.histories import EventHistories
from seqrec.tokens.events.times import PAST_TIMES, TARGET_TIME

logger = logging.getLogger(__name__)

WhichHistories = Literal["validation", "test", "all"]


def serve_model(
    model: NamedModel,
    data: str | Path | None,
    memory_mb: float | None,
    index: str | Path | None,
) -> Served:
    """Return a model, or a baseline fitted to data, to list items for given histories.

    Raises:
        SeqRecError: a baseline without data, or a model with them.
    """
    if not is_baseline(model):
        if data is not None:
            raise SeqRecError(
                "--history, --histories, --similar-to, --data: name exactly one of them; only a "
                "baseline needs --data beside"
            )
        recommender = open_recommender(model).with_memory_limit(memory_mb)
        search_by = open_search(recommender, index)
        served = replace(recommender.serve(), search_by=search_by)
        return served.with_ranker(recommender)
    if data is None:
        raise SeqRecError(f"{_get_name(model)}: a baseline needs --data, which it is fitted to")
    prepared = PreparedData.open(data)
    ranker = open_ranker(model, prepared, prepared.histories()).with_memory_limit(memory_mb)
    return replace(serve_baseline(ranker, prepared.items()), search=get_search(ranker, index))


def get_search(ranker: Ranker, index: str | Path | None) -> Search:
    """Return the search function of ``open_search`` for the ranker itself."""
    return open_search(ranker, index)(ranker)


def open_search(ranker: Ranker, index: str | Path | None) -> Callable[[Any], Search]:
    """Return from copies of a ranker to their search: exact, by an index, or by a store's vectors.

    Args:
        ranker: the model.
        index: folder of an exported index, or address of a store; None: exact.
    """
    if index is None:
        return lambda copied: copied.rank
    if not isinstance(ranker, Recommender):
        raise SeqRecError(f"--index {mask_url(str(index))}: {ranker.name} has no vectors to search")
    if is_store(str(index)):
        store = open_item_store(ranker, str(index), "--index")
        return lambda copied: partial(copied.rank_by_index, store, is_rescored=True)
    faiss_index = load_index(
        Path(index),
        catalog_fingerprint=ranker.catalog_fingerprint,
        model_fingerprint=ranker.fingerprint,
    )
    if not ranker.scores_are_products:
        logger.warning("lists of %s through an index exclude its transition prior", ranker.name)
    return lambda copied: partial(copied.rank_by_index, faiss_index)


def list_for_histories(
    served: Served,
    histories: Any,
    k: int | None,
    exclude_seen: bool,
    options: ListOptions,
    reading: Reading,
    out: str | Path | None,
    overwrite: bool,
) -> Any:
    """Return lists for given histories, or write those for a log; see ``recommend``."""
    histories = Path(histories) if isinstance(histories, str) else histories
    if out is None:
        return served.recommend(histories, k, exclude_seen, options, reading)
    if not is_frame(histories) and not isinstance(histories, Path):
        raise SeqRecError("--out: histories without users; give a log, or leave out --out")
    log = read_histories(histories, served.columns)
    given = served.read(log.histories, reading)
    asked = Asked(len(log.user_ids), log.user_ids)
    rules, notes = build_rules(options, k, exclude_seen, served.table, asked)
    notes = [*describe_unknown(given), *notes]
    time_input = get_time_input(served.ranker)
    if time_input == TARGET_TIME and not has_target_times(served.ranker, given.histories):
        time_input = PAST_TIMES  # the time of the next event is neither known nor a condition
    ranked = served.rank(given.histories, rules)
    lists = Lists(log.user_ids, served.table.item_ids, ranked, time_input, notes)
    return lists.write(Path(out), overwrite)


def list_for_data(
    model: NamedModel,
    data: str | Path,
    split: WhichHistories,
    users: Any,
    k: int | None,
    exclude_seen: bool,
    options: ListOptions,
    reading: Reading,
    memory_mb: float | None,
    index: str | Path | None,
    out: str | Path | None,
    overwrite: bool,
) -> dict[str, Any]:
    """Write lists for the users of a prepared folder; see ``recommend``."""
    if out is None:
        raise SeqRecError(
            "--data needs --out FILE.parquet (or .csv, .ndjson) to write the lists to"
        )
    prepared = PreparedData.open(data)
    ranker = open_ranker(model, prepared, prepared.histories(), lists_data_items=False)
    for note in ranker.notes:
        logger.warning(note)
    ranker = ranker.with_memory_limit(memory_mb)
    items = ranker.items if isinstance(ranker, Recommender) else prepared.items()
    table = ItemTable.build(items)
    numbers, histories = _select_histories(prepared, prepared.histories(), split, ranker)
    user_ids = prepared.users()["user_id"].gather(numbers).to_list()
    notes: list[str] = []
    if users is not None:
        rows, notes = _select_users(user_ids, users)
        user_ids = [user_ids[row] for row in rows]
        histories = select_histories(histories, rows)
    check_guidance(reading)
    if reading.conditions:
        histories = with_conditions(ranker, histories, reading.conditions)
    if reading.plan:
        if not isinstance(ranker, Recommender):
            raise SeqRecError(f"--plan: {ranker.name} has learned no features; name a model")
        histories = ranker.add_plans(histories)
    if isinstance(histories, EventHistories):
        histories = histories.with_guidance(reading.guidance)
    asked = Asked(len(user_ids), user_ids)
    rules, list_notes = build_rules(options, k, exclude_seen, table, asked)
    time_input = get_time_input(ranker)
    if split == "all" and time_input == TARGET_TIME and not has_target_times(ranker, histories):
        time_input = PAST_TIMES  # the time of the next event is neither known nor a condition
    vectors = ranker.item_vectors() if rules.trade_off is not None else None
    search = get_search(ranker, index)
    ranked = rank_by_rules(search, histories, rules, vectors, ranker.num_items)
    lists = Lists(user_ids, table.item_ids, ranked, time_input, [*notes, *list_notes])
    return lists.write(Path(out), overwrite)


@dataclass(frozen=True)
class Lists:
    """Lists of users, to be written."""

    user_ids: Sequence[str]
    item_ids: Sequence[str]
    """The ids of the catalog."""
    ranked: TopK
    time_input: str
    notes: Sequence[str]

    def write(self, out: Path, overwrite: bool) -> dict[str, Any]:
        """Write the lists and return the counts and the path."""
        items, scores = self.ranked.items.numpy(), self.ranked.scores.numpy()
        table = build_recommendations_table(self.user_ids, self.item_ids, items, scores)
        with new_file(out, overwrite=overwrite) as file:
            format = check_table_file(out, "--out")
            write_table(table, file, format, {TIME_INPUT: self.time_input})
        return {
            "users": len(self.user_ids),
            "rows": len(table),
            "lists_cut_short": int((self.ranked.items[:, -1] < 0).sum()),
            "notes": list(self.notes),
            "time_input": self.time_input,
            "out": str(out),
        }


def is_baseline(model: NamedModel) -> bool:
    """Test whether a model is named, or given, as a baseline."""
    if isinstance(model, Ranker):
        return not isinstance(model, Recommender)
    return not Path(model).is_dir() and str(model).partition(":")[0] in NAMES


def _get_name(model: NamedModel) -> str:
    return model.name if isinstance(model, Ranker) else str(model)


def _select_users(user_ids: Sequence[str], users: Any) -> tuple[Int[np.ndarray, " R"], list[str]]:
    """Return the rows of the users that are named, and a note on those without a history."""
    named = read_ids(users, "user", "--users")
    wanted, known = set(named), set(user_ids)
    rows = np.array([row for row, one in enumerate(user_ids) if one in wanted], dtype=np.int64)
    unknown = [user for user in named if user not in known]
    if not len(rows):
        raise SeqRecError(
            f"--users: none of its {len(named):,} users has a history to recommend for, "
            f"{named[:1]} first; the data's first users are {list(user_ids[:3])}"
        )
    if not unknown:
        return rows, []
    return rows, [
        f"--users: {len(unknown):,} users have no history in the data, {unknown[0]!r} first"
    ]


def _select_histories(
    prepared: PreparedData, histories: Histories, split: WhichHistories, ranker: Ranker
) -> tuple[Int[np.ndarray, " Q"], Sequence[Int[np.ndarray, " T"]]]:
    """Return the users to recommend for, and their histories in the ranker's form."""
    if split == "all":
        return np.arange(prepared.num_users), read_whole_histories(ranker, prepared)
    queries = build_queries(histories, split, _merge_successive(prepared.targets))
    if not len(queries.users):
        raise SeqRecError(
            f"{prepared.path}: no user has a {split} target under {prepared.split_by}; "
            "use --split all"
        )
    return queries.users, adapt_queries(ranker, queries, prepared).histories


def _merge_successive(targets: TargetMode) -> TargetMode:
    """Return the target mode with one list per user, before the first of successive targets."""
    return "together" if targets == "successive" else targets
