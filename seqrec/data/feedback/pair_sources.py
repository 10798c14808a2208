"""Where pairs come from: ratings of one user, what was watched next, comparisons made by people."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int

from seqrec.data.catalog import read_parquet
from seqrec.data.feedback.pairs import NONE, Pairs, pairs_table
from seqrec.data.histories import Histories
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError

PEOPLE = "people"
TEXT_LISTS = ("history", "chosen", "rejected")


@dataclass
class Drawn:
    """Comparisons after beginnings of users' training histories."""

    users: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    """How many training interactions of the user stand in the history."""
    chosen: list[int] = field(default_factory=list)
    rejected: list[list[int]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    """What gave no comparison, by reason."""

    def __len__(self) -> int:
        return len(self.users)


def generator_of(user_id: str, seed: int) -> np.random.Generator:
    """What a user's draws follow from: the id and the seed, and nobody else's rows."""
    digest = hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])


def draw_rated(
    histories: Histories,
    user_ids: list[str],
    *,
    liked: float,
    disliked: float,
    per_user: int,
    horizon: int,
    min_history: int,
    seed: int,
) -> Drawn:
    """A title that a user rated well against one that the same user rated badly.

    A place in the training history is drawn; both titles come after it, neither of them before
    the other by rule: each is drawn from the next ``horizon`` interactions.

    Args:
        histories: with a column ``rating``.
        user_ids: of the users.
        liked: the least rating of a chosen title.
        disliked: the largest rating of a rejected one.
        per_user: comparisons of a user, at most.
        horizon: interactions after the history from which titles are drawn.
        min_history: interactions that the history has at least.
        seed: of the draws.
    """
    found = Drawn()
    for user, user_id in enumerate(user_ids):
        items = histories.training_part(user)
        ratings = histories.training_part(user, "rating")
        generator = generator_of(user_id, seed)
        if len(items) < min_history + 2:
            found.left_out["users_of_short_histories"] += 1
            continue
        taken = set()
        for end in np.sort(generator.integers(min_history, len(items) - 1, per_user)).tolist():
            after = slice(end, end + horizon)
            better = items[after][ratings[after] >= liked]
            worse = items[after][ratings[after] <= disliked]
            if not len(better) or not len(worse):
                found.left_out["places_without_both_ratings"] += 1
                continue
            pair = (end, int(generator.choice(better)), int(generator.choice(worse)))
            if pair in taken or pair[1] == pair[2]:
                found.left_out["drawn_twice"] += 1
                continue
            taken.add(pair)
            found.users.append(user)
            found.ends.append(end)
            found.chosen.append(pair[1])
            found.rejected.append([pair[2]])
    return found


def draw_next(
    histories: Histories, user_ids: list[str], *, per_user: int, min_history: int, seed: int
) -> Drawn:
    """What users went on with after places of their training histories; nothing rejected yet.

    Args:
        histories: of which the training part is read.
        user_ids: of the users.
        per_user: places of a user, at most.
        min_history: interactions that a history has at least.
        seed: of the draws.
    """
    found = Drawn()
    for user, user_id in enumerate(user_ids):
        items = histories.training_part(user)
        places = np.arange(min_history, len(items))
        found.left_out["users_of_short_histories"] += not len(places)
        if len(places) > per_user:
            places = np.sort(generator_of(user_id, seed).choice(places, per_user, replace=False))
        for end in places.tolist():
            if items[end] in items[:end]:  # what was seen cannot be recommended
                found.left_out["places_before_a_repeat"] += 1
                continue
            found.users.append(user)
            found.ends.append(end)
            found.chosen.append(int(items[end]))
            found.rejected.append([])
    return found


def reject_from(
    drawn: Drawn,
    histories: Histories,
    user_ids: list[str],
    rank: Callable[[list[np.ndarray]], Int[np.ndarray, "Q K"]],
    *,
    num_rejected: int,
    seed: int,
    batch_size: int = 2048,
) -> Drawn:
    """The same comparisons with titles rejected that a policy would have recommended.

    They are drawn at random from the policy's lists, without the titles of the user's training
    history. Held-out interactions are not read: their titles may be drawn as any unseen one.

    Args:
        drawn: histories and chosen titles.
        histories: of which the training part is read.
        user_ids: of the users.
        rank: the policy's best unseen titles after some histories.
        num_rejected: titles that a comparison rejects, at most; those without any are left out.
        seed: of the draws.
        batch_size: histories that are ranked at once.
    """
    found = Drawn(left_out=drawn.left_out.copy())
    known: dict[int, np.ndarray] = {}
    generators: dict[int, np.random.Generator] = {}
    for start in range(0, len(drawn), batch_size):
        rows = range(start, min(start + batch_size, len(drawn)))
        for row in rows:
            user = drawn.users[row]
            if user not in known:
                known[user] = histories.training_part(user)
        lists = rank([known[drawn.users[row]][: drawn.ends[row]].astype(np.int64) for row in rows])
        for row, ranked in zip(rows, lists, strict=True):
            user = drawn.users[row]
            if user not in generators:
                generators[user] = generator_of(user_ids[user], seed + 1)
            unseen = ranked[(ranked >= 0) & ~np.isin(ranked, known[user])]
            if not len(unseen):
                found.left_out["lists_of_seen_titles"] += 1
                continue
            count = min(num_rejected, len(unseen))
            titles = generators[user].choice(unseen, count, replace=False)
            found.users.append(user)
            found.ends.append(drawn.ends[row])
            found.chosen.append(drawn.chosen[row])
            found.rejected.append(titles.tolist())
    return found


def drawn_table(
    drawn: Drawn, histories: Histories, data: PreparedData, *, max_history: int, source: str
) -> pl.DataFrame:
    """The rows of a pairs file.

    Args:
        drawn: comparisons.
        histories: of which they were drawn.
        data: whose they are.
        max_history: last titles of a history that are written.
        source: where they come from.
    """
    item_ids = data.items()["item_id"].to_list()
    user_ids = data.users()["user_id"].to_list()
    shown = []
    for user, end in zip(drawn.users, drawn.ends, strict=True):
        items = histories.training_part(user)[:end][-max_history:]
        shown.append([item_ids[item] for item in items])
    return pairs_table(
        [user_ids[user] for user in drawn.users],
        shown,
        [item_ids[item] for item in drawn.chosen],
        [[item_ids[item] for item in titles] for titles in drawn.rejected],
        source=source,
    )


def table_of(pairs: Pairs, data: PreparedData) -> pl.DataFrame:
    """Comparisons that were read, as the rows of a pairs file."""
    item_ids = data.items()["item_id"].to_list()

    def ids(items: np.ndarray) -> list[str]:
        return [item_ids[item] for item in items if item != NONE]

    is_slate = bool((pairs.chosen != NONE).sum(axis=1).max(initial=0) > 1)
    is_slate |= bool((pairs.rejected != NONE).sum(axis=2).max(initial=0) > 1)
    starts = pairs.histories.starts
    shown = [ids(pairs.histories.of(row, start)) for row, start in enumerate(starts)]
    chosen: list[object] = []
    rejected: list[object] = []
    for row in range(len(pairs)):
        answer = ids(pairs.chosen[row])
        others = [ids(other) for other in pairs.rejected[row] if other[0] != NONE]
        chosen.append((answer if is_slate else answer[0]) if answer else None)
        rejected.append(others if is_slate else [other[0] for other in others])
    table = pairs_table(
        pairs.user_ids, shown, chosen, rejected, source=PEOPLE, weight=pairs.weight.tolist()
    )
    return table.with_columns(source=pl.Series(pairs.sources, dtype=pl.String).fill_null(PEOPLE))


def read_comparisons(file: Path) -> pl.DataFrame:
    """A file of comparisons made by people."""
    return read_rows(file, TEXT_LISTS, "weight")


def read_rows(file: Path, lists: Sequence[str], number: str) -> pl.DataFrame:
    """A file that people made: Parquet, NDJSON, CSV or TSV, with a header.

    In CSV and TSV, a cell that starts with ``[`` is a JSON list; any other is one id.

    Args:
        file: as above.
        lists: columns that may hold lists of ids.
        number: a column of numbers.

    Raises:
        SeqRecError: no such file, or one that cannot be read.
    """
    if not file.is_file():
        raise SeqRecError(f"{file}: no such file")
    kind = file.suffix.lower()
    if kind in (".parquet", ".pq"):
        return read_parquet(file)
    try:
        if kind in (".ndjson", ".jsonl"):
            return pl.read_ndjson(file)
        if kind in (".csv", ".tsv"):
            separator = "\t" if kind == ".tsv" else ","
            table = pl.read_csv(file, separator=separator, infer_schema=False)
            return _with_lists(table, file, lists, number)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SeqRecError(f"{file}: cannot be read: {' '.join(str(error).split())}") from error
    raise SeqRecError(f"{file}: name a .parquet, .ndjson, .jsonl, .csv or .tsv file")


def _with_lists(table: pl.DataFrame, file: Path, names: Sequence[str], number: str) -> pl.DataFrame:
    """Columns of text as lists where their cells are JSON lists, and a column as numbers."""
    for name in set(names) & set(table.columns):
        cells = table[name].to_list()
        is_list = [cell is not None and cell.startswith("[") for cell in cells]
        if not any(is_list) and name != "history":
            continue
        lists = []
        for row, (cell, has_list) in enumerate(zip(cells, is_list, strict=True), 2):
            try:
                lists.append(json.loads(cell) if has_list else None if cell is None else [cell])
            except json.JSONDecodeError as error:
                raise SeqRecError(f"{file}: row {row}: {name} is not a JSON list") from error
        depth = pl.List(pl.String)
        if any(isinstance(entry, list) for cell in lists if cell for entry in cell):
            depth = pl.List(depth)
            lists = [cell and [x if isinstance(x, list) else [x] for x in cell] for cell in lists]
        texts = [_as_texts(cell) for cell in lists]
        table = table.with_columns(pl.Series(name, texts, dtype=depth))
    if number in table.columns:
        values = table[number].cast(pl.Float64, strict=False)
        values = values.fill_null(float("nan")).set(table[number].is_null(), None)
        table = table.with_columns(values.alias(number))
    return table


def _as_texts(cell: object) -> object:
    """Ids as text, whatever JSON made of them."""
    if isinstance(cell, list):
        return [_as_texts(entry) for entry in cell]
    return None if cell is None else str(cell)
