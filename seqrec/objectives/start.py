"""The parts that training starts from: a new model or a trained one, tokenizer and events."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from seqrec.builders.grammar import fit_coder
from seqrec.builders.language import open_backbone, tune
from seqrec.builders.model import build_initial_data, build_model
from seqrec.builders.pretrained import START_KEY, open_trained
from seqrec.config.recipe import Recipe
from seqrec.config.tuning import FullTuning
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.models import SeqRecForNextItem
from seqrec.models.folder import model_coder, use_float32
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.events.coder import EventCoder
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.log import check_times
from seqrec.tokens.tokenizer import ItemTokens, build_tokenizer, tokenizer_fingerprint


class Start(NamedTuple):
    """Model, tokenizer and event grammar, which the batches are built from."""

    trained: SeqRecForNextItem | None
    """The model of ``model.from_pretrained``; None if a new one is trained."""
    tokenizer: PreTrainedTokenizerFast
    tokens: ItemTokens
    coder: EventCoder | None
    """Codes event features and times; None if the model reads items alone."""
    events: EventTokens | None
    language_model: PreTrainedModel | None = None
    """The model of ``model.backbone``, which has a token for every item."""

    def get_model(
        self, recipe: Recipe, prepared: PreparedData, item_counts: Int[np.ndarray, " I"]
    ) -> SeqRecForNextItem:
        """Return the trained model, or a new one with random weights."""
        if self.trained is not None:
            return self.trained
        return build_model(
            recipe.model,
            self.tokens,
            build_initial_data(recipe.model, prepared, item_counts),
            vocab_size=len(self.tokenizer),
            max_length=recipe.data.max_length,
            catalog_fingerprint=prepared.catalog_fingerprint,
            tokenizer_fingerprint=tokenizer_fingerprint(self.tokenizer),
            grammar=self.coder.grammar if self.coder else None,
            language_model=self.language_model,
        )

    def tune(self, recipe: Recipe, model: SeqRecForNextItem) -> Any:
        """Set which weights of a model are trained, where its decoder is a language model.

        Args:
            recipe: of the run.
            model: of this start; is changed.

        Returns:
            The decoder with an adapter around it, a ``peft.PeftModel``; None if it has none.

        Raises:
            SeqRecError: the recipe tunes a decoder of seqrec's own.
        """
        tuning = recipe.model.tuning
        if not model.has_language_model:
            if tuning != FullTuning():
                raise SeqRecError(
                    f"model.tuning.name={tuning.name}: goes with language models, and "
                    f"{START_KEY} {recipe.model.from_pretrained} has a decoder of seqrec's own; "
                    "remove it"
                )
            return None
        use_float32(model.config)
        return tune(model, tuning, len(self.tokenizer))


def open_start(
    recipe: Recipe,
    prepared: PreparedData,
    check_start: Callable[[Recipe, Recommender], None],
) -> Start:
    """Open the model that the recipe names, or make the tokenizer of a new one.

    Args:
        recipe: of the run.
        prepared: the data.
        check_start: refuses a trained model that the objective cannot train.

    Raises:
        SeqRecError: no such model, one of another catalog, or one that is refused.
    """
    items = prepared.items()
    item_ids = items["item_id"].to_list()
    trained = language_model = None
    if recipe.model.from_pretrained is not None:
        trained, tokenizer = open_trained(recipe, prepared, check_start)
        coder = model_coder(trained.config, items, START_KEY)
    else:
        coder = fit_coder(recipe.data.events, recipe.model.time_bias, prepared)
        words = coder.grammar.words if coder else ()
        if recipe.model.backbone is None:
            tokenizer = build_tokenizer(item_ids, words)
        else:
            catalog = prepared.catalog_fingerprint
            language_model, tokenizer = open_backbone(recipe, items, words, catalog)
    tokens = ItemTokens.of(tokenizer, item_ids)
    events = EventTokens.of(tokenizer, tokens, coder) if coder else None
    if trained is None:
        block_size = events.block_size if events else tokens.blocks.length
        tokenizer.model_max_length = recipe.data.max_length * block_size
    if coder is not None:
        check_times(prepared, coder.grammar)
    return Start(trained, tokenizer, tokens, coder, events, language_model)
