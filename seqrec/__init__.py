"""seqrec: sequential recommenders as language models.

A decoder reads the items of a user's history as a language model reads words, and
predicts the next item of the catalog.

Glossary:
    user, item, interaction: a row of the log says that a user interacted with an item.
    history: the items of one user, oldest first.
    catalog: all items that can be recommended.
    target: an item that the model should predict.
    seen items: all items before the target in the user's history.
    window: the stretch of a history that the model reads at once.
    query: a history and its targets.
    slate: the few items that are shown together.
    event: an interaction with its features, encoded as a block of tokens.
    feature: one piece of side information of an event, such as its rating.
    condition: a feature value that a request sets for the items to be recommended.
    session: consecutive events of one series, merged into one event.
    transition prior: log-probabilities of what followed the recent items in training.
    run folder: the output of ``train``; model folder: the model in it.

Three id spaces, distinguished by name:
    item_id: text, as in the log.
    item: ``0 .. num_items - 1``, the row of ``items.parquet``, of the catalog head, of every index.
    token: the row of the input embedding. Only ``seqrec.tokens`` maps items to tokens.

Shape letters, used in every annotation:
    ``B`` histories, ``T`` positions, ``N`` flat positions, ``D`` width, ``I`` items,
    ``V`` tokens, ``K`` cut-off, ``S`` seen items or negatives of a batch, ``U`` users,
    ``Q`` queries, ``P`` pairs, ``R`` rejected answers of a pair, ``L`` items of an answer,
    ``H`` histories of a list, ``C`` features, ``E`` tokens of an event, ``F`` values,
    ``W`` windows, ``M`` query positions of a row, ``G`` slates of a history, ``J`` their plan
    tokens and items; in attention ``A`` heads and ``H`` their width.
"""

from importlib import import_module
from typing import Any

from seqrec.registration import register_on_import

__version__ = "0.1.0"

_HOMES = {
    "Recommender": "seqrec.ranking.recommender",
    "SeqRecError": "seqrec.errors",
    "datasets": "seqrec.jobs.datasets",
    "prepare": "seqrec.jobs.prepare",
    "train": "seqrec.jobs.train",
    "tune": "seqrec.jobs.tune",
    "extend": "seqrec.jobs.extend",
    "pairs": "seqrec.jobs.pairs",
    "cache": "seqrec.jobs.cache",
    "evaluate": "seqrec.jobs.evaluate",
    "recommend": "seqrec.jobs.recommend",
    "export": "seqrec.jobs.export",
    "verify": "seqrec.jobs.verify",
    "fit": "seqrec.jobs.fit",
    "serve": "seqrec.jobs.serve",
    "draft": "seqrec.jobs.draft",
    "review": "seqrec.jobs.review",
    "demo": "seqrec.jobs.demo",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Import the module of a public name at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'seqrec' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


register_on_import()
