"""Writing a model folder: weights and configuration, the tokenizer, the items."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from seqrec.data.catalog import write_items
from seqrec.models.folder import ITEMS_FILE


def write_model_folder(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    items: Any,
    item_counts: Int[np.ndarray, " I"],
) -> None:
    """Write everything that recommending needs to a folder.

    Args:
        folder: is made if it is missing.
        model: in evaluation mode.
        tokenizer: of its tokens.
        items: a table with a row for each item, in catalog order.
        item_counts: training interactions of every item.
    """
    disable_progress_bar()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_items(items, item_counts, folder / ITEMS_FILE)
