"""Baselines that recommend as a model does, and their names on the command line."""

from seqrec.baselines.popularity import Popularity
from seqrec.baselines.transitions import TransitionGraph, first_order_transitions
from seqrec.data.histories import Histories
from seqrec.recommender import Ranker

BASELINES = ("popularity", "transitions", "transition-graph")


def build_baseline(name: str, histories: Histories, num_items: int) -> Ranker:
    """The baseline of that name, fitted to the training part of the histories."""
    if name == "popularity":
        return Popularity(histories, num_items)
    if name == "transitions":
        return first_order_transitions(histories, num_items)
    return TransitionGraph("transition-graph", histories, num_items)
