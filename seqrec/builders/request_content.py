"""The content of items that requests in words are compared with: their texts, and their tags."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from seqrec.builders.text_search import TEXT_COLUMNS
from seqrec.data.item_columns import find_text_columns, item_texts
from seqrec.errors import SeqRecError
from seqrec.models.text_cache import encode_cached
from seqrec.models.text_encoder import TextEncoder
from seqrec.ranking.text_fusion import Encode, average_vectors
from seqrec.search.requests.facts import list_tags
from seqrec.search.requests.synthesis import is_held_out


class ItemContent(NamedTuple):
    """Vectors of what texts say of items, side by side."""

    training: Float[np.ndarray, "I C"]
    """Without the tags that only validation asks for."""
    whole: Float[np.ndarray, "I C"]
    num_parts: int
    """Vectors of the encoder in a row: of the texts, and of the tags."""


def build_content(items: Any, encode: Encode) -> ItemContent:
    """Return the content of items: the vector of their texts, and the mean of those of their tags.

    Both have length 1, or 0 for an item without words. A part that no item has is left out.

    Args:
        items: a row an item.
        encode: returns the vectors of texts.
    """
    columns, tags = find_text_columns(items, TEXT_COLUMNS), list_tags(items)
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    if columns:
        vectors = encode(item_texts(items, columns, "objective.content"))
        parts.append((vectors, vectors))
    if any(tags):
        known = [[tag for tag in one if not is_held_out(tag)] for one in tags]
        parts.append((average_vectors(known, encode), average_vectors(tags, encode)))
    nothing = np.zeros((len(items), 0), dtype=np.float32)
    training, whole = (
        np.concatenate([nothing, *(part[side] for part in parts)], axis=1) for side in (0, 1)
    )
    return ItemContent(training, whole, len(parts))


def build_new_content(
    settings: dict[str, Any], items: Any, num_old: int
) -> Float[np.ndarray, "W C"]:
    """Return the content of the items behind the first ``num_old``, as a query token reads it.

    Args:
        settings: of the query token.
        items: a row an item.
        num_old: items whose content is known.

    Raises:
        SeqRecError: the encoder is another one than that of the query token, or the items do not
            have the columns of its content.
    """
    encoder = TextEncoder.from_pretrained(settings["encoder"])
    described = encoder.describe(settings["encoder"])
    if any(settings[key] != value for key, value in described.items()):
        raise SeqRecError(
            f"{settings['encoder']}: is not the text encoder that the model's query token was "
            "trained with; install that"
        )
    content = build_content(items, partial(encode_cached, encoder))
    if content.num_parts != settings["num_parts"]:
        raise SeqRecError(
            "items: do not have the columns that the model's query token compares requests with "
            f"({', '.join((*TEXT_COLUMNS, 'tags'))}); name a file with those of its own items"
        )
    return content.whole[num_old:]
