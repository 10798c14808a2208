"""The folder of a model whose catalog has grown."""

from pathlib import Path
from typing import Any

from seqrec.models import SeqRecForNextItem
from seqrec.objectives.model_folder import write_model_folder


def write_extended(
    folder: Path, model: SeqRecForNextItem, tokenizer: Any, items: Any
) -> dict[str, Any]:
    """Write the model over a larger catalog and return its sizes and fingerprints."""
    write_model_folder(folder, model, tokenizer, items, items["num_interactions"].to_numpy())
    return {
        "tokens": len(tokenizer),
        "catalog_fingerprint": model.config.catalog_fingerprint,
        "tokenizer_fingerprint": model.config.tokenizer_fingerprint,
    }
