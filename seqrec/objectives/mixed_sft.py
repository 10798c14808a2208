"""Supervised fine-tuning of a language model with two heads, on texts that name items."""

from functools import partial
from pathlib import Path
from typing import Any

from transformers.utils.logging import disable_progress_bar

from seqrec.builders.mixed import MixedModel, open_mixed
from seqrec.config.mixed import MixedRecipe, MixedSFTConfig
from seqrec.config.text_recipe import TextRecipe
from seqrec.data.mixed_records import MixedRecords
from seqrec.data.prepared import PreparedData
from seqrec.data.text_files import TextFiles
from seqrec.errors import SeqRecError
from seqrec.models.adapters import CATALOG_KEY, save_adapter
from seqrec.models.folder import model_folder
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.two_heads import save_head
from seqrec.models.weights import folder_fingerprint
from seqrec.objectives.interface import ADAPTER_FOLDER
from seqrec.objectives.model_folder import write_model_folder
from seqrec.objectives.text import TextObjective
from seqrec.objectives.text_setup import Batching, TextSetup
from seqrec.tokens.text.batches import batch_texts
from seqrec.tokens.text.examples import ExampleEncoder, TextExample
from seqrec.tokens.text.items import HISTORY, encode_history
from seqrec.tokens.text.stream import TextStream
from seqrec.training.steps.mixed import (
    WORD_KEY,
    HeadWeights,
    Tally,
    TokenPlaces,
    mixed_loss,
    mixed_sums,
)


class MixedSFTObjective(TextObjective):
    """Trains both heads of a language model with a catalog on texts and histories."""

    @classmethod
    def get_named_sources(cls, recipe: TextRecipe) -> dict[str, Any]:
        sources = super().get_named_sources(recipe)
        catalog = get_recipe(recipe).data.catalog
        if catalog is not None:
            prepared = PreparedData.open(catalog)
            sources["catalog_fingerprint"] = prepared.catalog_fingerprint
            sources["log_fingerprint"] = prepared.fingerprint
        other = get_recipe(recipe).model.initial_vectors_of
        if other is not None:
            key = "model.initial_vectors_of"
            sources["initial_fingerprint"] = folder_fingerprint(model_folder(other, key))
        return sources

    @classmethod
    def open_model(cls, recipe: TextRecipe) -> MixedModel:
        return open_mixed(get_recipe(recipe))

    @classmethod
    def open_records(cls, recipe: TextRecipe, files: TextFiles) -> Any:
        data = get_recipe(recipe).data
        if not data.histories_share:
            return files
        if data.catalog is None:
            raise SeqRecError("data.histories_share: needs data.catalog, whose log has histories")
        return MixedRecords(
            files,
            PreparedData.open(data.catalog),
            key=HISTORY,
            share=data.histories_share,
            length=data.history_length,
            seed=recipe.trainer.seed,
        )

    @classmethod
    def get_batching(cls, recipe: TextRecipe, encoder: ExampleEncoder) -> Batching:
        words, length = encoder.tokenizer.get_vocab(), get_recipe(recipe).data.history_length

        def encode(record: Any, name: str) -> TextExample | None:
            if record.get(HISTORY) is not None:
                return encode_history(record[HISTORY], words, length, name)
            return encoder.encode(record, name)

        return Batching(
            encode,
            lambda example: (len(example.tokens), float(example.weight[1:].sum())),
            lambda examples, numbers, _: batch_texts(examples, numbers),
        )

    @classmethod
    def build_setup(
        cls, recipe: TextRecipe, opened: MixedModel, train: TextStream, held: TextStream
    ) -> TextSetup:
        config, model = get_config(recipe), opened.config
        tally = Tally()
        shared: dict[str, Any] = {
            "places": TokenPlaces(model.first_item_token, model.num_items, len(opened.tokenizer)),
            "weights": HeadWeights(config.item_weight, config.word_weight),
        }
        return TextSetup(
            partial(mixed_loss, **shared, chunk_size=config.chunk_size, tally=tally),
            partial(mixed_sums, **shared),
            perplexity_of=WORD_KEY,
            take_epoch_metrics=tally.take,
        )

    def get_prompt(self, record: Any, name: str) -> list[int] | None:
        if record.get(HISTORY) is None:
            return super().get_prompt(record, name)
        words, length = self.tokenizer.get_vocab(), get_recipe(self.recipe).data.history_length
        example = encode_history(record[HISTORY], words, length, name)
        return None if example is None else example.tokens[:-1].tolist()

    def save(self, folder: Path) -> None:
        """Write the model with both heads as a language model's folder; an adapter also beside it.

        Updates and rows of the adapter are added to float32 weights.
        """
        disable_progress_bar()
        opened: MixedModel = self.opened
        is_adapted = hasattr(self.model, "get_base_model")
        words = self.model.get_base_model() if is_adapted else self.model
        head = words.catalog_head
        del words.catalog_head
        if is_adapted:
            adapter = folder.parent / ADAPTER_FOLDER
            save_adapter(self.model, adapter, {CATALOG_KEY: opened.config.catalog_fingerprint})
            save_head(head, adapter)
        model = SeqRecForNextItem.over(opened.config, words)
        model.head.load_state_dict(head.state_dict())
        self.model = model.eval()
        write_model_folder(folder, model, self.tokenizer, opened.items, opened.item_counts)


def get_recipe(recipe: TextRecipe) -> MixedRecipe:
    """Return the recipe, which must be one of texts and items."""
    assert recipe.objective.name == "mixed_sft"
    return recipe  # type: ignore[return-value]


def get_config(recipe: TextRecipe) -> MixedSFTConfig:
    """Return the objective block of a recipe of texts and items."""
    return get_recipe(recipe).objective
