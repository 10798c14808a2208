"""Builds the synthesised requests of a prepared folder, and their vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float

from seqrec.builders.request_content import ItemContent, build_content
from seqrec.config.search_objective import SearchConfig
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
    content: ItemContent
    """Vectors of texts and tags of the items; no parts if requests are compared with rows alone."""

    def encode(self, texts: Sequence[str]) -> Float[np.ndarray, "N F"]:
        """Return the vectors of texts."""
        return encode_cached(self.encoder, texts)


def build_requests(config: SearchConfig, prepared: PreparedData, seed: int) -> RequestData:
    """Synthesise requests for the items of a prepared folder, and encode them.

    Raises:
        SeqRecError: the items have no column that a request could name, or there is no encoder.
    """
    items = prepared.items()
    requests = synthesise_requests(
        items,
        per_item=config.requests_per_item,
        seed=seed,
        has_conversations=config.conversations,
    )
    encoder = TextEncoder.from_pretrained(config.encoder)
    encode = partial(encode_cached, encoder)
    nothing = np.zeros((len(items), 0), dtype=np.float32)
    content = ItemContent(nothing, nothing, 0)
    if config.content:
        content = build_content(items, encode)
    return RequestData(requests, encoder, encode(requests.training.texts), content)
