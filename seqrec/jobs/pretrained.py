"""A model that training starts from: of the same catalog and tokenizer, with its memory of them."""

from pathlib import Path

from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.saving import load_model
from seqrec.recommender import model_folder


def pretrained_model(
    folder: str | Path, prepared: PreparedData, tokenizer_fingerprint: str, key: str
) -> SeqRecForNextItem:
    """The model of a run or model folder.

    Args:
        folder: where it is.
        prepared: the data, whose catalog it must know.
        tokenizer_fingerprint: of the tokenizer that the data gives.
        key: the setting that names it, for the error.

    Raises:
        SeqRecError: no model, or one of another catalog or tokenizer.
    """
    model = load_model(model_folder(folder))
    if model.config.catalog_fingerprint != prepared.catalog_fingerprint:
        raise SeqRecError(
            f"{key}={folder}: trained on another catalog than that of {prepared.path}"
        )
    if model.config.tokenizer_fingerprint != tokenizer_fingerprint:
        raise SeqRecError(f"{key}={folder}: trained with another tokenizer than seqrec makes now")
    return model
