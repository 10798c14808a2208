"""Stores that hold the item vectors of a recommender."""

from seqrec.ranking.recommender import Recommender
from seqrec.retrieval.stores.item_index import StoreIndex
from seqrec.retrieval.stores.opening import open_store


def open_item_store(recommender: Recommender, url: str, option: str) -> StoreIndex:
    """Return the live version of a store as an index of the recommender's items.

    Args:
        recommender: the model.
        url: address of the store, ``KIND:URL``.
        option: names the address in messages.

    Raises:
        SeqRecError: no such store, or one with the vectors of another model.
    """
    live = open_store(
        url,
        model_fingerprint=recommender.fingerprint,
        catalog_fingerprint=recommender.catalog_fingerprint,
        option=option,
    )
    return StoreIndex(live, recommender.item_ids, recommender.item_embeddings())
