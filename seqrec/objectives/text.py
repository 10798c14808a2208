"""Objectives that train a language model on text: data, model, Trainer and folder in common."""

import sys
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from seqrec.builders.language_model import (
    BACKBONE_KEY,
    adapter_fingerprint,
    find_own_folder,
    open_tuned,
    source_fingerprint,
)
from seqrec.builders.model import build_optimizers
from seqrec.builders.two_heads import KeptCatalog
from seqrec.config.text_recipe import TextRecipe
from seqrec.data.text_files import TextFiles
from seqrec.errors import SeqRecError
from seqrec.models.adapters import merge_adapter, save_adapter
from seqrec.models.weights import folder_fingerprint
from seqrec.objectives.epochs import epoch_costs, fit_settings, validation_of
from seqrec.objectives.interface import ADAPTER_FOLDER, Objective, RunOutcome
from seqrec.objectives.model_folder import write_model_folder
from seqrec.objectives.text_setup import Batching, TextSetup
from seqrec.tokens.text.examples import ExampleEncoder
from seqrec.tokens.text.stream import TextIndex, TextStream
from seqrec.training.accounting import training_dtype
from seqrec.training.callbacks import ShouldStop
from seqrec.training.epoch_log import read_log
from seqrec.training.fit import LOG_FILE, FitResult, fit
from seqrec.training.language_module import LanguageModule, TextValidation, language_flops
from seqrec.training.loaders import PackedLoader
from seqrec.training.samples import Samples
from seqrec.training.tensors import as_tensors


@dataclass
class TextObjective(Objective):
    """A language model that is trained on text in epochs; subclasses give it batches and a loss."""

    recipe: TextRecipe
    prepared: TextFiles
    model: Any
    tokenizer: PreTrainedTokenizerFast
    opened: Any
    """The result of ``open_model``, with model and tokenizer."""
    encoder: ExampleEncoder
    train: TextStream
    held_out: TextStream
    setup: TextSetup
    selection_metric: str
    protocol: str
    notices: Sequence[str]

    @classmethod
    @abstractmethod
    def get_batching(cls, recipe: TextRecipe, encoder: ExampleEncoder) -> Batching:
        """Return how records become batches."""

    @classmethod
    def open_model(cls, recipe: TextRecipe) -> Any:
        """Return the model that is trained, and its tokenizer.

        Raises:
            SeqRecError: no such model, or one that cannot be trained so.
        """
        return open_tuned(recipe)

    @classmethod
    def describe_model(cls, recipe: TextRecipe, opened: Any) -> list[str]:
        """Return lines about parts of the model that the data do not teach."""
        catalog: KeptCatalog | None = opened.catalog
        if catalog is None:
            return []
        named = f"{BACKBONE_KEY} {recipe.model.backbone}"
        if catalog.is_unchanged:
            return [f"{named}: its catalog head is kept as it is"]
        return [
            f"{named}: its catalog head is kept; the item vectors are rows of the vocabulary, "
            "which tuning full moves"
        ]

    @classmethod
    def open_records(cls, recipe: TextRecipe, files: TextFiles) -> Any:
        """Return the records of some files, or more of them.

        Raises:
            SeqRecError: a mistake in what the data block names.
        """
        return files

    @classmethod
    @abstractmethod
    def build_setup(
        cls, recipe: TextRecipe, opened: Any, train: TextStream, held: TextStream
    ) -> TextSetup:
        """Return the loss and the validation metrics.

        Raises:
            SeqRecError: a mistake in what the objective block names.
        """

    @classmethod
    def open_data(cls, path: str | Path) -> TextFiles:
        return TextFiles.open(path)

    @classmethod
    def resolve(cls, recipe: TextRecipe) -> TextRecipe:
        return recipe

    @classmethod
    def get_named_sources(cls, recipe: TextRecipe) -> dict[str, Any]:
        folder = find_own_folder(recipe.model.backbone)
        if folder is None:
            fingerprint = source_fingerprint(recipe.model.backbone)
        else:
            fingerprint = folder_fingerprint(folder)
        sources = {"backbone_fingerprint": fingerprint}
        if recipe.model.adapter is not None:
            sources["adapter_fingerprint"] = str(adapter_fingerprint(recipe.model.adapter))
        if recipe.data.validation is not None:
            validation = TextFiles.open(recipe.data.validation)
            sources["validation_fingerprint"] = validation.fingerprint
        return sources

    @classmethod
    def get_sources(cls, recipe: TextRecipe) -> dict[str, Any]:
        return {}

    @classmethod
    def build(cls, recipe: TextRecipe, prepared: TextFiles, rank: int = 0) -> Self:
        data, trainer = recipe.data, recipe.trainer
        torch.manual_seed(trainer.seed)
        opened = cls.open_model(recipe)
        model, tokenizer = opened.model, opened.tokenizer
        limit = getattr(model.config, "max_position_embeddings", None)
        if limit is not None and data.max_length > limit and "max_length" in data.model_fields_set:
            raise SeqRecError(
                f"data.max_length={data.max_length}: the backbone reads {limit} tokens; lower it"
            )
        where = f"{BACKBONE_KEY} {recipe.model.backbone}"
        max_length = min(data.max_length, limit or data.max_length)
        encoder = ExampleEncoder(tokenizer, where, max_length, data.too_long)
        batching = cls.get_batching(recipe, encoder).with_items(tokenizer.get_vocab())
        records = cls.open_records(recipe, prepared)
        index = TextIndex.build(records, batching.encode, batching.measure)
        held_files = records
        if data.validation is None:
            index, held = index.split(data.held_out_share, trainer.seed)
        else:
            held_files = TextFiles.open(data.validation)
            held = TextIndex.build(held_files, batching.encode, batching.measure)
        lines = encoder.describe_counts()
        if not len(index.lengths):
            reasons = f" ({'; '.join(lines)})" if lines else ""
            raise SeqRecError(f"--data {prepared.path}: no example is left to learn from{reasons}")
        build_stream = partial(
            TextStream,
            encode=batching.encode,
            build_batch=batching.build,
            row_length=data.row_length,
            batch_size=data.batch_size,
            seed=trainer.seed,
        )
        train, held_out = build_stream(records, index), build_stream(held_files, held)
        tokens = (
            f"{int(index.lengths.sum()):,} tokens, {int(index.weights.sum()):,} of them learned"
        )
        notices = [f"{len(index.lengths):,} examples: {tokens}; {train.num_batches:,} batches"]
        return cls(
            recipe,
            prepared,
            model,
            tokenizer,
            opened,
            encoder,
            train,
            held_out,
            cls.build_setup(recipe, opened, train, held_out),
            trainer.selection_metric,
            f"{len(held.lengths):,} held-out examples",
            [*cls.describe_model(recipe, opened), *notices, *lines],
        )

    def before(self) -> None:
        """Forget the counts of reading all examples once; batches read them again."""
        self.counts = dict(self.encoder.counts)

    def build_module(self) -> LanguageModule:
        """Return the model with its loss and its optimizer, as the Trainer drives them."""
        trainer = self.recipe.trainer
        return LanguageModule(
            self.model,
            self.setup.batch_loss,
            partial(build_optimizers, self.recipe, self.train.num_batches),
            self.setup.validation_sums,
            perplexity_of=self.setup.perplexity_of,
            take_epoch_metrics=self.setup.take_epoch_metrics,
            guard=self.setup.guard,
            dtype=training_dtype(trainer.precision, trainer.accelerator),
            gradient_clip=trainer.gradient_clip,
        )

    def fit(self, folder: Path, should_stop: ShouldStop | None = None) -> FitResult:
        trainer, held = self.recipe.trainer, self.held_out
        module = self.build_module()
        num_held = len(held.index.lengths)
        validation = TextValidation(
            lambda: map(as_tensors, held.in_order()), held.num_batches, num_held
        )
        return fit(
            module,
            PackedLoader(self.train),
            validation,
            folder,
            fit_settings(trainer),
            count_flops=partial(language_flops, self.model),
            should_stop=should_stop,
            tracker=self.tracker,
            more_callbacks=[self._build_samples()] if trainer.sample_steps else [],
        )

    def after(self, folder: Path, fit: FitResult) -> RunOutcome:
        lines = read_log(folder / LOG_FILE)
        best = next(line for line in lines if line["epoch"] == (fit.best_epoch or 1) - 1)
        details = {
            "examples": len(self.train.index.lengths),
            "held_out_examples": len(self.held_out.index.lengths),
            "tokens": int(self.train.index.lengths.sum()),
            "learned_tokens": int(self.train.index.weights.sum()),
            "left_out": self.counts,
        }
        return RunOutcome(fit.best_epoch, {}, validation_of(best), details, epoch_costs(lines))

    def save(self, folder: Path) -> None:
        """Write the model in the format of transformers; an adapter also beside it, on its own."""
        disable_progress_bar()
        self.model.eval()
        is_adapted = hasattr(self.model, "get_base_model")
        if is_adapted:
            save_adapter(self.model, folder.parent / ADAPTER_FOLDER)
        catalog: KeptCatalog | None = self.opened.catalog
        if catalog is not None:
            model = catalog.join(self.model.get_base_model() if is_adapted else self.model)
            write_model_folder(folder, model, self.tokenizer, catalog.items, catalog.item_counts)
            return
        if is_adapted:
            self.model = merge_adapter(self.model)
        self.model.set_attn_implementation("sdpa")
        self.model.config.use_cache = True
        generation = self.model.generation_config
        if generation is not None and generation.eos_token_id is None:
            generation.eos_token_id = self.tokenizer.eos_token_id
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def measure(self, folder: Path) -> dict[str, Any]:
        return {}

    def get_prompt(self, record: Any, name: str) -> list[int] | None:
        """Return what the model continues in a sample of a record; None for nothing."""
        return self.encoder.prompt_tokens(record, name)

    def _build_samples(self) -> Samples:
        held, trainer = self.held_out, self.recipe.trainer
        stream = held if len(held.index.lengths) else self.train
        order = np.random.default_rng(trainer.seed).permutation(len(stream.index.lengths))

        def prompt(number: int) -> list[int]:
            record, name = stream.example(int(order[number % len(order)]))
            tokens = self.get_prompt(record, name) or [self.tokenizer.eos_token_id]
            return tokens[: self.encoder.max_length - 1]

        return Samples(
            prompt,
            lambda tokens: str(self.tokenizer.decode(tokens, skip_special_tokens=True)),
            steps=trainer.sample_steps,
            max_tokens=trainer.sample_tokens,
            end_token_id=int(self.tokenizer.eos_token_id),  # type: ignore[arg-type]
        )


def say(text: str) -> None:
    """Print a line of progress."""
    print(text, file=sys.stderr, flush=True)
