"""Builds the synthesised requests of a prepared folder, and their vectors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from seqrec.builders.text_search import TEXT_COLUMNS
from seqrec.config.search_objective import SearchConfig
from seqrec.data.item_columns import find_text_columns, item_texts
from seqrec.data.prepared import PreparedData
from seqrec.models.text_cache import encode_cached
from seqrec.models.text_encoder import TextEncoder
from seqrec.search.requests.synthesis import Requests, synthesise_requests


@dataclass(frozen=True)
class RequestData:
    """Requests for the items of a catalog, and vectors of their words."""

    requests: Requests
    encoder: TextEncoder
    vectors: Float[np.ndarray, "N F"]
    """Vectors of the texts of training."""
    item_vectors: Float[np.ndarray, "I F"] | None
    """Vectors of the items' texts; None for items without words."""

    def encode(self, texts: Sequence[str]) -> Float[np.ndarray, "N F"]:
        """Return the vectors of texts."""
        return encode_cached(self.encoder, texts)


def build_requests(config: SearchConfig, prepared: PreparedData, seed: int) -> RequestData:
    """Synthesise requests for the items of a prepared folder, and encode them.

    Raises:
        SeqRecError: the items have no column that a request could name, or there is no encoder.
    """
    items = prepared.items()
    requests = synthesise_requests(items, per_item=config.requests_per_item, seed=seed)
    encoder = TextEncoder.from_pretrained(config.encoder)
    columns = find_text_columns(items, TEXT_COLUMNS)
    item_vectors = None
    if columns:
        item_vectors = encode_cached(encoder, item_texts(items, columns, "objective.content"))
    vectors = encode_cached(encoder, requests.training.texts)
    return RequestData(requests, encoder, vectors, item_vectors)
