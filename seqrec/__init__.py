"""seqrec: watch histories as language.

A decoder reads the titles that a person watched as a sentence reads words, and
answers with the next title of the catalog.

Glossary, one word each:
    user, item, interaction: a row of the log says that a user interacted with an item.
    history: the items of one user, oldest first.
    catalog: all items that can be recommended.
    target: the item that a ranking is judged by.
    seen items: everything before the target in the user's history.
    window: the stretch of a history that the model reads at once.
    query: a history and the targets that follow it.
    slate: the few items shown together.
    event: an interaction with what is told of it, a block of tokens.
    feature: one thing that is told of an event: its rating, say.

Three id spaces, told apart by name:
    item_id: text, spelled as in the log.
    item: ``0 .. num_items - 1``, the row of ``items.parquet``, of the catalog head, of every index.
    token: the row of the input embedding. Only ``seqrec.tokens`` maps items to tokens.

Shape letters, used in every annotation:
    ``B`` histories, ``T`` positions, ``N`` flat positions, ``D`` width, ``I`` items,
    ``V`` tokens, ``K`` cut-off, ``S`` seen items or negatives of a batch, ``U`` users,
    ``Q`` queries, ``P`` pairs, ``R`` rejected answers of a pair, ``L`` titles of an answer,
    ``H`` histories of a list, ``C`` features, ``E`` tokens of an event, ``F`` values,
    ``W`` windows, ``M`` places of a row that are read, ``G`` slates of a history, ``J`` their
    words of a plan and titles; in attention ``A`` heads and ``H`` their width.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Recommender": "seqrec.ranking.recommender",
    "SeqRecError": "seqrec.errors",
    "datasets": "seqrec.jobs.datasets",
    "prepare": "seqrec.jobs.prepare",
    "train": "seqrec.jobs.train",
    "tune": "seqrec.jobs.tune",
    "pairs": "seqrec.jobs.pairs",
    "cache": "seqrec.jobs.cache",
    "evaluate": "seqrec.jobs.evaluate",
    "recommend": "seqrec.jobs.recommend",
    "export": "seqrec.jobs.export",
    "demo": "seqrec.jobs.demo",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """The public name, its module imported at first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'seqrec' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
