"""``seqrec cache``: predictions of models, computed once, for training without the models."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqrec.arguments import check_arguments
from seqrec.errors import SeqRecError
from seqrec.runs.reference_cache import cache_pairs
from seqrec.runs.teacher_cache import cache_top_k
from seqrec.tokens.streams.windows import WindowKind


@check_arguments
def cache(
    models: str | Path | Sequence[str | Path],
    *,
    data: str | Path,
    out: str | Path,
    pairs: str | Path | None = None,
    k: int | None = None,
    max_length: int | None = None,
    windows: WindowKind | None = None,
    stride: int | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Cache predictions of models in a file or folder.

    With ``pairs``: one model's log-probabilities of the chosen and rejected answers, for
    ``objective.reference``. Without: the top ``k`` logits at every position of the training part,
    averaged over models, for ``objective.cache``.

    Args:
        models: run or model folders; exactly one with ``pairs``.
        data: prepared folder.
        out: Parquet file with ``pairs``, else a folder.
        pairs: pairs file; None: cache the training part.
        k: number of items per position; None: 100, or the catalog if it is smaller.
        max_length: ``data.max_length`` of the training run; None: that of the models.
        windows: ``data.windows`` of the training run; None: ``all``.
        stride: ``data.stride`` of the training run.
        overwrite: replace ``out``.

    Returns:
        The path, the size of the cache, and the number of parts that an earlier run had written.

    Raises:
        SeqRecError: a mistake in models, data, pairs or output.
    """
    folders = [models] if isinstance(models, str | Path) else list(models)
    if pairs is None:
        return cache_top_k(
            folders,
            data=data,
            out=out,
            k=k,
            max_length=max_length,
            windows=windows or "all",
            stride=stride,
            overwrite=overwrite,
        )
    for option, value in (("--k", k), ("--windows", windows), ("--stride", stride)):
        if value is not None:
            raise SeqRecError(f"{option} {value}: has no effect with --pairs; leave it out")
    if len(folders) != 1:
        raise SeqRecError(f"--pairs: goes with one model, not {len(folders)}")
    return cache_pairs(
        folders[0], data=data, pairs=pairs, out=out, max_length=max_length, overwrite=overwrite
    )
