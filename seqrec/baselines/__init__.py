"""Baselines with the interface of rankers, and their names on the command line."""

from collections.abc import Callable

from seqrec.baselines.ease import EASE
from seqrec.baselines.factorization import als, bpr
from seqrec.baselines.nearest_text import NearestText
from seqrec.baselines.neighbours import item_knn
from seqrec.baselines.popularity import Popularity, RecentPopularity
from seqrec.baselines.rules import sequential_rules
from seqrec.baselines.settings import Settings, check_settings, default_settings, parse_settings
from seqrec.baselines.transition_product import transition_product
from seqrec.baselines.transitions import first_order_transitions, transition_graph
from seqrec.data.histories import Histories
from seqrec.errors import SeqRecError
from seqrec.ranking.ranker import Ranker

BASELINES: dict[str, Callable[..., Ranker]] = {
    "popularity": Popularity,
    "recent-popularity": RecentPopularity,
    "transitions": first_order_transitions,
    "transition-graph": transition_graph,
    "seq-rules": sequential_rules,
    "pctm": transition_product,
    "item-knn": item_knn,
    "ease": EASE,
    "als": als,
    "bpr": bpr,
}
"""Function that fits each baseline; its keyword arguments are the baseline's settings."""

DRAWN = ("als", "bpr")
"""Baselines with random initial vectors."""

NAMES = (*BASELINES, NearestText.name)
"""Names of all baselines, including the one that reads texts instead of histories."""


def parse_baseline_text(text: str) -> tuple[str, Settings]:
    """Return name and settings of ``NAME`` or ``NAME:setting=value,...``.

    Raises:
        SeqRecError: an unknown baseline or setting, or a value out of range.
    """
    name, _, listed = text.partition(":")
    if name not in NAMES:
        raise SeqRecError(f"{text}: no baseline; choose from {', '.join(NAMES)}")
    settings = parse_settings(name, listed, get_default_settings(name))
    check_settings(name, settings)
    return name, settings


def get_default_settings(name: str) -> Settings:
    """Return the default settings of a baseline."""
    return default_settings(BASELINES.get(name, NearestText))


def build_baseline(
    name: str, histories: Histories, num_items: int, settings: Settings | None = None
) -> Ranker:
    """Fit a baseline to the training part of the histories.

    Args:
        name: one of ``BASELINES``.
        histories: interactions with their split.
        num_items: catalog size.
        settings: settings that differ from their default.
    """
    settings = settings or {}
    check_settings(name, settings)
    return BASELINES[name](histories, num_items, **settings)
