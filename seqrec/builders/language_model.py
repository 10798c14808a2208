"""The language model of a recipe on text: loaded, with its adapter, ready for packed texts."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedTokenizerFast

from seqrec.builders.tuning import apply_tuning
from seqrec.builders.tuning import weights_dtype as tuned_dtype
from seqrec.builders.two_heads import KeptCatalog, open_two_heads
from seqrec.config.text import LanguageModelConfig
from seqrec.config.text_recipe import TextRecipe
from seqrec.config.tuning import FullTuning
from seqrec.data.checksums import file_sha256
from seqrec.models.adapters import ADAPTER_WEIGHTS, load_adapter, merge_adapter
from seqrec.models.document_attention import require_document_attention
from seqrec.models.folder import model_folder
from seqrec.models.language_model import LanguageModel, load_language_model
from seqrec.models.language_source import find_language_source
from seqrec.models.two_heads import read_fields
from seqrec.models.word_head import check_word_head

BACKBONE_KEY = "model.backbone"


class TunedModel(NamedTuple):
    """A language model and the parts of it that are trained."""

    model: Any
    """The model, with an adapter around it for LoRA."""
    tokenizer: PreTrainedTokenizerFast
    catalog: KeptCatalog | None = None
    """The catalog of a model with two heads; None: the model answers in words alone."""


def open_tuned(recipe: TextRecipe) -> TunedModel:
    """Load the language model of a recipe for training on packed texts.

    A run or model folder of seqrec with both heads keeps its catalog.

    Raises:
        SeqRecError: no such model or adapter, or a model that cannot read packed texts.
    """
    config, catalog = recipe.model, None
    folder = find_own_folder(config.backbone)
    if folder is None:
        base, tokenizer = open_base(recipe)
    else:
        whole = open_two_heads(folder, f"{BACKBONE_KEY} {config.backbone}")
        catalog = KeptCatalog(whole, moves_rows=isinstance(config.tuning, FullTuning))
        tokenizer = whole.tokenizer
        base = _merge_given(config, whole.words.to(weights_dtype(recipe)))  # type: ignore[arg-type]
    return TunedModel(make_trainable(config, base), tokenizer, catalog)


def open_base(recipe: TextRecipe, *, with_adapter: bool = True) -> LanguageModel:
    """Load the language model of a recipe.

    Args:
        recipe: names the model.
        with_adapter: merge the adapter that it names.

    Raises:
        SeqRecError: no such model or adapter.
    """
    base, tokenizer = load_language_model(recipe.model.backbone, dtype=weights_dtype(recipe))
    return LanguageModel(_merge_given(recipe.model, base) if with_adapter else base, tokenizer)


def _merge_given(config: LanguageModelConfig, base: Any) -> Any:
    """Return a language model with the adapter of the ``model`` block merged, if it names one."""
    if config.adapter is None:
        return base
    return merge_adapter(load_adapter(base, Path(config.adapter)))


def make_trainable(
    config: LanguageModelConfig, base: Any, trainable_rows: Sequence[int] = ()
) -> Any:
    """Let a language model read packed texts, and set which of its weights are trained.

    Args:
        config: the ``model`` block.
        base: is changed.
        trainable_rows: rows of the vocabulary that ``lora`` trains whole.

    Returns:
        The model, with an adapter around it for LoRA.

    Raises:
        SeqRecError: a model that cannot read packed texts, or has no such layers.
    """
    prepare_for_texts(base)
    if config.gradient_checkpointing:
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return apply_tuning(base, config.tuning, trainable_rows)


def prepare_for_texts(model: Any) -> None:
    """Let a causal language model read packed texts.

    Raises:
        SeqRecError: a model of another kind.
    """
    check_word_head(model)
    require_document_attention(model)


def weights_dtype(recipe: TextRecipe) -> torch.dtype:
    """Return the precision of the backbone's weights."""
    config: LanguageModelConfig = recipe.model
    if config.dtype != "auto":
        return getattr(torch, config.dtype)
    return tuned_dtype(config.tuning, recipe.trainer.precision, recipe.trainer.accelerator)


def source_fingerprint(source: str) -> str:
    """Return the sha256 of the configuration and weights of a language model.

    Raises:
        SeqRecError: no such model.
    """
    found = find_language_source(source)
    folder, whole = Path(found.folder), hashlib.sha256()
    names = [found.gguf_file] if found.gguf_file else ["config.json", "*.safetensors"]
    for file in sorted(file for name in names for file in folder.glob(name)):
        whole.update(file_sha256(file).encode())
    return whole.hexdigest()


def adapter_fingerprint(folder: str) -> str | None:
    """Return the sha256 of an adapter's weights; None if they are missing."""
    file = Path(folder) / ADAPTER_WEIGHTS
    return file_sha256(file) if file.is_file() else None


def find_own_folder(source: str) -> Path | None:
    """Return the model folder of a run or model of seqrec; None for other language models."""
    if not Path(source).is_dir():
        return None
    folder = Path(source)
    if not (folder / "config.json").is_file() and (folder / "model").is_dir():
        folder = model_folder(source, BACKBONE_KEY)
    if not (folder / "config.json").is_file():
        return None
    return folder if "catalog_fingerprint" in read_fields(folder) else None
