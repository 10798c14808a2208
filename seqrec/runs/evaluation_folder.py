"""An evaluation folder read again: its result, and every query's metrics."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from seqrec.errors import SeqRecError, refuse_unreadable
from seqrec.evaluation.comparison import SEED
from seqrec.evaluation.significance import bootstrap_interval
from seqrec.evaluation.tables import COMPARED
from seqrec.files import read_json_object
from seqrec.outputs import METRICS_FILE
from seqrec.reports.trained_models import TrainedModel
from seqrec.runs.history import trained_models

PER_USER_FILE = "per_user.parquet"
FIX = "write one with seqrec evaluate --out"


@dataclass(frozen=True)
class JudgedSystem:
    """One system of an evaluation."""

    name: str
    row: dict[str, Any]
    """The system's row in the evaluation's table."""
    protocol: str
    query_settings: dict[str, Any]
    """The data, split and other settings of the queries, beside their users."""
    user_ids: list[str]
    """The user of each query."""
    history_lengths: Int[np.ndarray, " Q"]
    per_query: dict[str, Float[np.ndarray, "seeds Q"]]
    """Metrics of each query, by key: ``ndcg@10``, ..."""
    trained: TrainedModel | None
    """The trained model; None for a baseline, and where the run folder is missing."""

    @property
    def users(self) -> Int[np.ndarray, " Q"]:
        """The user of each query, as a number."""
        return np.unique(self.user_ids, return_inverse=True)[1]


def read_system(folder: str | Path, system: str | None = None) -> JudgedSystem:
    """Read a system of an evaluation folder; the first if none is named.

    Raises:
        SeqRecError: no evaluation folder, or no such system in it.
    """
    folder = Path(folder)
    with refuse_unreadable(f"{folder}: as an evaluation folder", FIX):
        return _read_system(folder, system)


def _read_system(folder: Path, system: str | None) -> JudgedSystem:
    try:
        result = read_json_object(folder / METRICS_FILE, FIX)
        table = pq.read_table(folder / PER_USER_FILE)
        rows = {row["system"]: row for row in result["rows"] if row["retrieval"] in COMPARED}
    except (SeqRecError, OSError, ValueError, KeyError, TypeError) as error:
        raise SeqRecError(f"{folder}: not an evaluation folder; {FIX}") from error
    name = next(iter(rows), "") if system is None else system
    if name not in rows:
        choices = ", ".join(map(str, rows))
        raise SeqRecError(f"{folder}: has no system {name}; choose from {choices}")
    is_shown = pc.and_(
        pc.equal(table["system"], name), pc.is_in(table["retrieval"], pa.array(COMPARED))
    )
    table = table.filter(is_shown)
    num_seeds = len(table["seed"].unique())
    if not num_seeds or len(table) % num_seeds:
        raise SeqRecError(f"{folder / PER_USER_FILE}: the seeds of {name} differ in users; {FIX}")
    first = table.slice(0, len(table) // num_seeds)
    return JudgedSystem(
        name=name,
        row=rows[name],
        protocol=str(result["protocol"]),
        query_settings=dict(result.get("query_settings", {})),
        user_ids=first["user_id"].cast(pa.string()).to_pylist(),
        history_lengths=first["history_length"].cast(pa.int64()).to_numpy(),
        per_query={
            key: table[key].cast(pa.float64()).to_numpy().reshape(num_seeds, -1)
            for key in table.column_names
            if "@" in key
        },
        trained=_trained(result.get("models", {}), name),
    )


def _trained(models: dict[str, str], name: str) -> TrainedModel | None:
    found = trained_models({name: models[name]}) if name in models else []
    return found[0] if found else None


def check_same_queries(one: JudgedSystem, other: JudgedSystem) -> None:
    """Refuse to compare systems that answered different queries.

    Raises:
        SeqRecError: users, histories or settings differ.
    """
    is_same = one.user_ids == other.user_ids and np.array_equal(
        one.history_lengths, other.history_lengths
    )
    different = [
        key for key, value in one.query_settings.items() if value != other.query_settings.get(key)
    ]
    if not is_same or different:
        why = f" ({different[0].replace('_', ' ')})" if different else ""
        raise SeqRecError(
            f"{one.name} and {other.name} answered different queries{why}; evaluate both on the "
            "same prepared folder and split"
        )


def shared_metrics(one: JudgedSystem, other: JudgedSystem) -> list[str]:
    """Return the metrics of both systems that are defined for every query."""
    known = [
        {key for key, values in system.per_query.items() if not np.isnan(values).any()}
        for system in (one, other)
    ]
    return [key for key in one.per_query if key in known[0] & known[1]]


def differences_by_length(
    one: JudgedSystem, other: JudgedSystem, metric: str, num_groups: int
) -> list[dict[str, Any]]:
    """Return mean differences of two systems in groups of similar size, by length of history.

    Returns:
        A row for each group, short histories first: ``history_length``, ``queries``,
        ``difference`` and its 95 % bootstrap ``interval`` over users.
    """
    differences = one.per_query[metric].mean(axis=0) - other.per_query[metric].mean(axis=0)
    lengths = one.history_lengths
    edges = np.unique(np.quantile(lengths, np.arange(1, num_groups) / num_groups))
    group_of = np.searchsorted(edges, lengths)
    rows = []
    for group in np.unique(group_of):
        is_in = group_of == group
        shortest, longest = lengths[is_in].min(), lengths[is_in].max()
        rows.append(
            {
                "history_length": f"{shortest} to {longest}",
                "queries": int(is_in.sum()),
                "difference": float(differences[is_in].mean()),
                "interval": bootstrap_interval(
                    differences[is_in], users=one.users[is_in], seed=SEED
                ),
            }
        )
    return rows
