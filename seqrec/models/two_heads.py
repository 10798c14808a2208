"""Models with two heads, items and words, as causal language models of transformers, and back.

Their folder is a language model's own, which ``AutoModelForCausalLM`` reads without seqrec: the
catalog head lies beside it, its settings in one file, and its weights in another unless they are
rows of the vocabulary; so do other parts of a next-item model, such as a transition prior.
"""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from seqrec.errors import SeqRecError
from seqrec.files import read_json_object
from seqrec.models.configuration import SeqRecConfig
from seqrec.models.heads import CatalogHead
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.weights import COPY, WEIGHTS_FILE

HEAD_FILE = "catalog_head.json"
HEAD_WEIGHTS = "catalog_head.safetensors"
GENERATION_FILE = "generation_config.json"
DECODER, WORD_HEAD = "backbone.", "word_head."
"""Parts of a next-item model, as names of its weights begin."""


class WordNames(NamedTuple):
    """Names of the parts of a causal language model of some family."""

    architecture: str
    decoder: str
    """Beginning of the names of the decoder's weights."""
    head: str
    """Beginning of the names of the word head's."""

    @classmethod
    def of(cls, config: PreTrainedConfig) -> "WordNames":
        """Return the names for a configuration of the family."""
        model = _build_empty(config)
        modules = {id(module): name for name, module in model.named_modules()}
        head = modules[id(model.get_output_embeddings())]
        return cls(type(model).__name__, f"{model.base_model_prefix}.", f"{head}.")


def as_language_model(
    model: SeqRecForNextItem, tokenizer: PreTrainedTokenizerFast
) -> PreTrainedModel:
    """Return the causal language model within a model, which shares its weights.

    It generates with the settings of the language model that it came from, ends at the tokenizer's
    end token, and generates no padding.

    Raises:
        ValueError: a model without word head.
    """
    weight = model.word_weight()
    config = copy.copy(model.backbone.config)
    words: Any = _build_empty(config)
    setattr(words, words.base_model_prefix, model.backbone)
    words.config = model.backbone.config
    if model.word_head is None:
        words.get_output_embeddings().weight = weight
    else:
        words.set_output_embeddings(model.word_head)
    words.generation_config = generation_settings(model, tokenizer)
    return words.train(model.training)


def generation_settings(
    model: SeqRecForNextItem, tokenizer: PreTrainedTokenizerFast
) -> GenerationConfig:
    """Return how a model with two heads generates text: never its padding rows."""
    config: Any = model.config.backbone_config
    settings = copy.deepcopy(model.word_settings) or GenerationConfig()
    if settings.eos_token_id is None:
        settings.eos_token_id = tokenizer.eos_token_id
    settings.pad_token_id = tokenizer.pad_token_id
    first = model.config.first_item_token
    own = [token for token in settings.suppress_tokens or () if token < first]
    settings.suppress_tokens = [*own, *range(len(tokenizer), config.vocab_size)] or None
    return settings


def write_two_heads(
    folder: Path,
    model: SeqRecForNextItem,
    weights: Mapping[str, Tensor],
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    """Write a model with a word head as the folder of a causal language model.

    Args:
        folder: exists.
        model: its configuration and settings are written; its own weights are not read.
        weights: by the names of the model's, without adapters.
        tokenizer: of the model; it is written elsewhere.
    """
    config: Any = copy.deepcopy(model.config.backbone_config)
    names = WordNames.of(config)
    plain = {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}
    of_head = {
        name: weight for name, weight in plain.items() if not name.startswith((DECODER, WORD_HEAD))
    }
    of_words = {}
    for name, weight in plain.items():
        for own, theirs in ((DECODER, names.decoder), (WORD_HEAD, names.head)):
            if name.startswith(own):
                of_words[theirs + name.removeprefix(own)] = weight
    config.architectures, config.use_cache = [names.architecture], True
    config.dtype = next(iter(of_words.values())).dtype
    config.save_pretrained(folder)
    generation_settings(model, tokenizer).save_pretrained(folder)
    save_file(of_words, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    if of_head:
        save_file(of_head, folder / HEAD_WEIGHTS)
    fields = model.config.to_dict()
    del fields["backbone_config"]
    text = json.dumps(fields, indent=2, sort_keys=True) + "\n"
    (folder / HEAD_FILE).write_text(text, encoding="utf-8")


def has_two_heads(folder: Path) -> bool:
    """Return True for the folder of a language model with a catalog head beside it."""
    return (folder / HEAD_FILE).is_file()


def read_fields(folder: Path) -> dict[str, Any]:
    """Return the fields that describe the catalog of a model folder, whatever its form."""
    file = folder / (HEAD_FILE if has_two_heads(folder) else "config.json")
    return read_json_object(file, COPY)


def read_head_config(folder: Path, words: PreTrainedConfig) -> SeqRecConfig:
    """Return the configuration of a folder with two heads.

    Args:
        folder: the folder.
        words: the configuration of its language model.
    """
    fields = read_fields(folder)
    return SeqRecConfig(**{**fields, "backbone_config": words})


def name_weights(
    folder: Path, config: SeqRecConfig, weights: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the weights of a folder with two heads by the names of a next-item model's.

    Args:
        folder: the folder, of which the head's own weights are read.
        config: of the model.
        weights: of its language model.

    Raises:
        SeqRecError: weights of the head that are missing or broken.
    """
    words: Any = config.backbone_config
    names, named = WordNames.of(words), {}
    is_tied = getattr(words, "tie_word_embeddings", True)
    for name, weight in weights.items():
        if name.startswith(names.head):
            if not is_tied:
                named[WORD_HEAD + name.removeprefix(names.head)] = weight
        else:
            named[DECODER + name.removeprefix(names.decoder)] = weight
    file = folder / HEAD_WEIGHTS
    if config.head == "tied" and not file.is_file():
        return named
    try:
        for name, weight in load_file(file).items():
            named[name] = weight.float() if weight.is_floating_point() else weight
    except Exception as error:  # of safetensors, by the place of the damage
        raise SeqRecError(f"{file}: is missing, broken or cut short; {COPY}") from error
    return named


def save_head(head: CatalogHead, folder: Path) -> None:
    """Write the weights of a head of its own beside an adapter; a tied head has none."""
    if weights := head.state_dict():
        save_file({name: one.contiguous() for name, one in weights.items()}, folder / HEAD_WEIGHTS)


def load_head(head: CatalogHead, folder: Path) -> None:
    """Load the weights of a head that ``save_head`` wrote.

    Raises:
        SeqRecError: they are missing or broken, or of a head of another kind or size.
    """
    file = folder / HEAD_WEIGHTS
    if not head.state_dict() and not file.is_file():
        return
    try:
        head.load_state_dict(load_file(file))
    except Exception as error:  # of safetensors, by the place of the damage
        raise SeqRecError(
            f"{file}: is missing, broken, or of another head; name the model.head of its run"
        ) from error


def read_generation_settings(folder: Path) -> GenerationConfig | None:
    """Return how the language model of a folder generates; None where the folder says nothing."""
    if not (folder / GENERATION_FILE).is_file():
        return None
    return GenerationConfig.from_pretrained(folder, local_files_only=True)


def _build_empty(config: PreTrainedConfig) -> PreTrainedModel:
    """Return a causal language model whose weights take no memory."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False)
