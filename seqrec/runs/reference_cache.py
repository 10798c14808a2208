"""The reference's log-probabilities of preference pairs, computed once and resumable."""

import shutil
from pathlib import Path
from typing import Any

import torch

from seqrec.builders.named_models import open_item_recommender
from seqrec.data.caches.reference import CachedLogProbs, build_header, join_parts, write_part
from seqrec.data.feedback.pairs_file import read_pairs
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.losses.catalog import IGNORE_INDEX
from seqrec.models.folder import model_folder
from seqrec.models.weights import folder_fingerprint
from seqrec.outputs import describe_os_error, locate_output, lock_output, refuse_existing_file
from seqrec.runs.parts import begin_parts, get_parts_folder
from seqrec.tokens.streams.batches import PairBatch
from seqrec.tokens.streams.pairs import PairStream
from seqrec.training.steps.preference import FrozenReference
from seqrec.training.tensors import as_tensors

HEADER_FILE = "made_of.json"
PART_ROWS = 64
"""Packed rows of a part; an interruption loses one part at most."""


def cache_pairs(
    model: str | Path,
    *,
    data: str | Path,
    pairs: str | Path,
    out: str | Path,
    max_length: int | None,
    overwrite: bool,
) -> dict[str, Any]:
    """Write a model's log-probabilities of the answers of a pairs file, in float32.

    Parts are kept in ``OUT.partial`` until all are written; the same command continues with them.

    Args:
        model: run or model folder.
        data: prepared folder.
        pairs: pairs file.
        out: Parquet file, for ``objective.reference``.
        max_length: items of a history, equal to the recipe's ``data.max_length``; the largest
            number that the model reads if absent.
        overwrite: replace ``out``.

    Returns:
        The file, the number of pairs, and the number of parts that an earlier run had written.

    Raises:
        SeqRecError: a mistake in model, data, pairs or file.
    """
    out = locate_output(out)
    refuse_existing_file(out, overwrite, (model, data, pairs))
    prepared = PreparedData.open(data)
    folder = model_folder(model, "MODEL")
    recommender = open_item_recommender(folder, prepared, "seqrec cache")
    longest = recommender.model.config.max_length
    max_length = longest if max_length is None else max_length
    if not 1 <= max_length <= longest:
        raise SeqRecError(f"--max-length {max_length}: {model} reads 1 to {longest} items")
    answers = read_pairs(Path(pairs), prepared, recommender.model.num_learned)
    header = build_header(
        model_fingerprint=folder_fingerprint(folder),
        catalog_fingerprint=prepared.catalog_fingerprint,
        pairs_fingerprint=answers.fingerprint,
        data_fingerprint=prepared.fingerprint,
        max_length=max_length,
    )
    stream = PairStream(
        answers,
        torch.arange(len(answers)).numpy(),
        recommender.tokens,
        row_length=max_length,
        batch_size=PART_ROWS,
        ignore_index=IGNORE_INDEX,
        has_labels=False,
    )
    try:
        with lock_output(out):
            parts, aside = get_parts_folder(out), get_parts_folder(out) / "part.partial"
            begin_parts(parts, HEADER_FILE, header, overwrite=overwrite)
            done = _count_parts(parts)
            reference = FrozenReference(recommender.model)
            for number, batch in enumerate(stream.in_order(done), done):
                _write(reference, batch, aside)
                aside.replace(parts / f"{number:06d}.parquet")
            num_pairs = join_parts(sorted(parts.glob("*.parquet")), header, aside)
            refuse_existing_file(out, overwrite)
            aside.replace(out)
            shutil.rmtree(parts)
    except OSError as error:
        raise SeqRecError(f"--out {out}: cannot be written: {describe_os_error(error)}") from error
    return {"pairs": num_pairs, "parts": stream.num_batches, "parts_resumed": done, "out": str(out)}


def _count_parts(parts: Path) -> int:
    """Return the number of complete parts before the first missing one."""
    number = 0
    while (parts / f"{number:06d}.parquet").exists():
        number += 1
    return number


def _write(reference: FrozenReference, batch: PairBatch, file: Path) -> None:
    log_probs = reference(as_tensors(batch))
    write_part(batch.pairs, CachedLogProbs(*(part.float().numpy() for part in log_probs)), file)
