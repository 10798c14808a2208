"""Writing a model folder: weights and configuration, the tokenizer, the items."""

import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from seqrec.data.catalog import write_items
from seqrec.models.folder import ITEMS_FILE
from seqrec.models.plain_weights import plain_weights
from seqrec.models.two_heads import write_two_heads
from seqrec.models.weights import WEIGHTS_FILE


def write_model_folder(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    items: Any,
    item_counts: Int[np.ndarray, " I"],
) -> None:
    """Write everything that recommending needs to a folder, each file by one rename.

    Args:
        folder: is made if it is missing.
        model: in evaluation mode.
        tokenizer: of its tokens.
        items: a table with a row for each item, in catalog order.
        item_counts: training interactions of every item.
    """
    disable_progress_bar()
    aside = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    plain = plain_weights(model, model.state_dict())
    if getattr(model.config, "word_head", False):
        aside.mkdir()
        write_two_heads(aside, model, plain, tokenizer)  # type: ignore[arg-type]
    else:
        model.save_pretrained(aside, state_dict=plain)
    tokenizer.save_pretrained(aside)
    write_items(items, item_counts, aside / ITEMS_FILE)
    share_weights(aside)
    folder.mkdir(exist_ok=True)
    for file in sorted(aside.iterdir()):
        file.replace(folder / file.name)
    aside.rmdir()


def write_weights(
    folder: Path,
    weights: Mapping[str, Tensor],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    items: Any,
    item_counts: Int[np.ndarray, " I"],
) -> None:
    """Write other weights of the model to a folder, by one rename; all else only once.

    Args:
        folder: is made if it is missing.
        weights: the weights by name.
        model: whose configuration is written; its own weights are not read.
        tokenizer: of its tokens.
        items: a table with a row for each item, in catalog order.
        item_counts: training interactions of every item.
    """
    if not (folder / WEIGHTS_FILE).exists():
        model.config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_items(items, item_counts, folder / ITEMS_FILE)
    aside = folder / f"{WEIGHTS_FILE}.new"
    plain = plain_weights(model, weights)
    tensors = {name: weight.detach().cpu().contiguous() for name, weight in plain.items()}
    save_file(tensors, aside, metadata={"format": "pt"})
    share_weights(folder, aside.name)
    aside.replace(folder / WEIGHTS_FILE)


def share_weights(folder: Path, pattern: str = "*.safetensors") -> None:
    """Give weights the mode of ``config.json``, which follows the user's umask.

    The library of safetensors writes files that only their owner can read.
    """
    mode = stat.S_IMODE((folder / "config.json").stat().st_mode)
    for file in folder.glob(pattern):
        file.chmod(mode)
