"""Pooling of an encoder's outputs into one vector a text, as its folder describes it.

The files are those of sentence-transformers: ``modules.json`` lists the steps after the encoder,
``1_Pooling/config.json`` the pooling, ``config_sentence_transformers.json`` the prompts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.utils import cached_file

from seqrec.errors import SeqRecError, quote
from seqrec.files import read_json

MODULES_FILE = "modules.json"
POOLING_FILE = "1_Pooling/config.json"
PROMPTS_FILE = "config_sentence_transformers.json"
LENGTH_FILE = "sentence_bert_config.json"
KNOWN_MODULES = ("Transformer", "Pooling", "Normalize")
FIX = "name another text encoder"

States = Float[Tensor, "B T D"]
Mask = Int[Tensor, "B T"]


def take_first(states: States, mask: Mask) -> Float[Tensor, "B D"]:
    """Return the output at the first token of each text, such as ``[CLS]``."""
    return states[torch.arange(len(states)), mask.argmax(dim=1)]


def take_last(states: States, mask: Mask) -> Float[Tensor, "B D"]:
    """Return the output at the last token of each text."""
    columns = torch.arange(mask.shape[1], device=mask.device)
    return states[torch.arange(len(states)), (mask * (1 + columns)).argmax(dim=1)]


def take_mean(states: States, mask: Mask) -> Float[Tensor, "B D"]:
    """Return the mean output over the tokens of each text."""
    return (states * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp_min(1)


def take_maximum(states: States, mask: Mask) -> Float[Tensor, "B D"]:
    """Return the largest output over the tokens of each text, unit by unit."""
    return states.masked_fill(mask[:, :, None] == 0, -torch.inf).amax(dim=1)


POOLINGS: dict[str, Callable[[States, Mask], Float[Tensor, "B D"]]] = {
    "cls": take_first,
    "mean": take_mean,
    "max": take_maximum,
    "lasttoken": take_last,
}
OLDER_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}
"""Switches of older files, one for each kind of pooling."""


@dataclass(frozen=True)
class Pooling:
    """Steps from an encoder's outputs to a vector; several kinds of pooling are concatenated."""

    kinds: tuple[str, ...] = ("mean",)
    prompt: str = ""
    """Text that is written before every text."""
    pools_prompt: bool = True
    """The tokens of the prompt are pooled, too."""
    max_tokens: int | None = None
    """Longest text that the encoder was trained on; None: not stated."""

    def pool(self, states: States, mask: Mask, num_prompt_tokens: int) -> Float[Tensor, "B F"]:
        """Return the vectors of texts.

        Args:
            states: outputs of the encoder.
            mask: 1 for tokens, 0 for padding.
            num_prompt_tokens: tokens of the prompt at the start of every text.
        """
        if not self.pools_prompt:
            mask = mask * (mask.cumsum(dim=1) > num_prompt_tokens)
        return torch.cat([POOLINGS[kind](states, mask) for kind in self.kinds], dim=1)


MEAN = Pooling()


def read_pooling(source: str | Path) -> Pooling:
    """Return the pooling that an encoder's folder, or its hub repository, describes.

    An encoder without a description is pooled by the mean.

    Raises:
        SeqRecError: a kind of pooling, or a step after it, that seqrec does not have.
    """
    for module in _read(source, MODULES_FILE) or ():
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind not in KNOWN_MODULES:
            raise SeqRecError(f"text encoder {source}: {MODULES_FILE} has a step {kind}; {FIX}")
    config = _read(source, POOLING_FILE) or {}
    kinds = _list_kinds(config)
    for kind in kinds:
        if kind not in POOLINGS:
            raise SeqRecError(
                f"text encoder {source}: {POOLING_FILE} has pooling {quote(kind)}, not one of "
                f"{', '.join(POOLINGS)}; {FIX}"
            )
    prompts = _read(source, PROMPTS_FILE) or {}
    length = (_read(source, LENGTH_FILE) or {}).get("max_seq_length")
    return Pooling(
        kinds or ("mean",),
        (prompts.get("prompts") or {}).get(prompts.get("default_prompt_name")) or "",
        config.get("include_prompt", True) is not False,
        length if isinstance(length, int) else None,
    )


def _list_kinds(config: Mapping[str, Any]) -> tuple[str, ...]:
    named = config.get("pooling_mode")
    if named is not None:
        return (named,) if isinstance(named, str) else tuple(named)
    return tuple(kind for key, kind in OLDER_KEYS.items() if config.get(key) is True)


def _read(source: str | Path, name: str) -> Any:
    """Return the content of a file of an encoder; None if it has no such file."""
    file = cached_file(
        source,
        name,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
    )
    return None if file is None else read_json(Path(file), FIX)
