"""Language models of transformers with their tokenizers, from folders, GGUF files or a hub."""

from typing import Any, NamedTuple

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import is_gguf_available
from transformers.utils.logging import disable_progress_bar

from seqrec.errors import SeqRecError, refuse_unreadable
from seqrec.models.growth import check_vocabulary
from seqrec.models.language_source import LanguageSource, find_language_source
from seqrec.models.weights import count_gguf_weights
from seqrec.models.weights_check import check_sizes
from seqrec.tokens.digits import split_digits
from seqrec.tokens.tokenizer import load_tokenizer

FIX = "name a decoder that transformers reads, in safetensors or GGUF"


class LanguageModel(NamedTuple):
    """A causal language model and the tokenizer that it reads."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast


def load_language_model(
    source: Any, *, dtype: torch.dtype = torch.float32, has_weights: bool = True
) -> LanguageModel:
    """Return the language model of a source, in evaluation mode, and its fast tokenizer.

    The model is one of ``AutoModelForCausalLM`` that ``save_pretrained`` writes; the weights of a
    GGUF file are dequantised. No code of the source is run, and nothing pickled is read.

    Args:
        source: a folder in Hugging Face format (also sharded), a GGUF file or a folder with one,
            an installed package that carries either, or a name on the hub.
        dtype: of the weights.
        has_weights: load the weights; else they are random, from torch's generator, at the scale
            of the model's configuration.

    Raises:
        SeqRecError: no such model, no network for a hub's model, a folder without weights or with
            pickled ones, code in the folder, a slow tokenizer, a vocabulary that was grown on one
            side only, a missing package for GGUF.
    """
    found = find_language_source(source)
    if found.gguf_file is not None and not is_gguf_available():
        raise SeqRecError(
            f"{source}: GGUF files need the package gguf; pip install 'seqrec[language]'"
        )
    tokenizer = _load_tokenizer(found, str(source))
    disable_progress_bar()
    with refuse_unreadable(f"{source}: as a language model", FIX):
        config = _load_config(found)
        if has_weights:
            model = _load_weights(found, config, str(source), dtype)
        else:
            build = AutoModelForCausalLM.from_config
            model = build(config, dtype=dtype, trust_remote_code=False)
    check_vocabulary(model, tokenizer, str(source))
    return LanguageModel(model.eval(), tokenizer)


def _load_config(found: LanguageSource) -> PreTrainedConfig:
    """Return the configuration; that of a GGUF file is compared with the number of its weights."""
    files: dict[str, Any] = {"gguf_file": found.gguf_file, "local_files_only": True}
    config = AutoConfig.from_pretrained(found.folder, trust_remote_code=False, **files)
    if found.gguf_file is not None:
        file = found.folder / found.gguf_file
        check_sizes(config.to_dict(), count_gguf_weights(file), file)
    return config


def _load_weights(
    found: LanguageSource, config: PreTrainedConfig, named: str, dtype: torch.dtype
) -> PreTrainedModel:
    """Return the model with its own weights, every one of which must be there."""
    load: Any = AutoModelForCausalLM.from_pretrained
    read_dtype = dtype if found.gguf_file is None else torch.float32  # which packed weights are
    files = {"gguf_file": found.gguf_file, "local_files_only": True, "use_safetensors": True}
    model, report = load(
        found.folder, trust_remote_code=False, dtype=read_dtype, output_loading_info=True, **files
    )
    missing = sorted(report["missing_keys"])
    if missing:
        raise SeqRecError(
            f"{named}: lacks {len(missing)} weights of a language model, {missing[0]} first; "
            "copy all of its files"
        )
    if found.gguf_file is None:
        return model
    weights, settings = model.state_dict(), model.generation_config
    given: Any = {"config": config, "state_dict": weights, "dtype": dtype}
    copy = type(model).from_pretrained(None, trust_remote_code=False, **given)
    copy.generation_config = settings
    return copy


def _load_tokenizer(found: LanguageSource, named: str) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a source.

    Raises:
        SeqRecError: it is missing, broken or not a fast one.
    """
    if found.gguf_file is None:
        return load_tokenizer(found.folder)
    files: dict[str, Any] = {"gguf_file": found.gguf_file, "local_files_only": True}
    with refuse_unreadable(f"{named}: its tokenizer", FIX):
        tokenizer = AutoTokenizer.from_pretrained(found.folder, trust_remote_code=False, **files)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise SeqRecError(f"{named}: its tokenizer is not a fast one; {FIX}")
    split_digits(tokenizer)
    return tokenizer
