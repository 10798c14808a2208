"""``seqrec cache``: what a model says, computed once: of pairs, or at every place of the log."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqrec.errors import SeqRecError
from seqrec.runs.reference_cache import cache_pairs
from seqrec.runs.teacher_cache import cache_answers
from seqrec.tokens.streams.windows import WindowKind


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
    """Write what models say, for training that then does without them.

    With ``pairs``, one model's log-probabilities of their answers, for ``objective.reference``;
    else, for ``objective.cache``, the ``k`` likeliest items after every place of the training
    part.

    Raises:
        SeqRecError: a mistake in models, data, pairs or output.
    """
    named = [models] if isinstance(models, str | Path) else list(models)
    if pairs is None:
        return cache_answers(
            named,
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
            raise SeqRecError(f"{option} {value}: pairs have answers of their own; leave it out")
    if len(named) != 1:
        raise SeqRecError(f"--pairs: goes with one model, not {len(named)}")
    return cache_pairs(
        named[0], data=data, pairs=pairs, out=out, max_length=max_length, overwrite=overwrite
    )
