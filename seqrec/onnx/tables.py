"""Tables for a program without seqrec beside the graph: ids, tokens, vectors, the prior's edges."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from seqrec.ranking.recommender import Recommender

PRIOR_ARRAYS = ("first_edge", "target", "weight", "leaving", "popularity")


def write_tables(recommender: Recommender, folder: Path) -> dict[str, Any]:
    """Write the tables, and return what a manifest says of them.

    ``item_vectors.npy`` has a row an item. ``tokens.npy`` has the tokens of an event of each item,
    with the features that follow from the item, and in its last row those of an unknown item.
    ``transitions.npz`` is there if the model has a transition prior.
    """
    for name, texts in (("ids", recommender.item_ids), ("titles", recommender.titles)):
        text = json.dumps(list(texts), indent=0) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    vectors = recommender.item_vectors().astype(np.float32)
    np.save(folder / "item_vectors.npy", vectors, allow_pickle=False)
    items = np.append(np.arange(recommender.num_items), -1)
    before: list[int] = []
    if recommender.events is None:
        tokens = recommender.tokens.encode(items)
    else:
        codes = recommender.events.coder.item_feature_codes(items)
        tokens = recommender.events.encode(items, codes)
        is_before = recommender.events.grammar.is_before
        before = (recommender.tokens.block_size + np.flatnonzero(is_before)).tolist()
    np.save(folder / "tokens.npy", tokens, allow_pickle=False)
    counts = recommender.items["num_interactions"].to_numpy()
    np.save(folder / "num_interactions.npy", counts, allow_pickle=False)
    prior, settings = recommender.model.active_prior, None
    if prior is not None:
        arrays = {name: getattr(prior, name).cpu().numpy() for name in PRIOR_ARRAYS}
        np.savez(folder / "transitions.npz", **arrays)
        settings = {"name": "mean", **(recommender.model.config.transition_prior or {})}
    return {"tokens_before_item": before, "transition_prior": settings}
