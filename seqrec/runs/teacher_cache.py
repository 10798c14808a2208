"""``seqrec cache`` without pairs: teachers' answers at every place that training learns."""

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch

from seqrec.data.caches.teacher import (
    CACHE_FILE,
    KIND,
    CachedTopK,
    count_shard_rows,
    max_cache_bytes,
    shard_name,
    write_shard,
)
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.losses.catalog import IGNORE_INDEX
from seqrec.losses.softmax import most_likely
from seqrec.objectives.distillation import fingerprints, mean_strength, open_teachers
from seqrec.outputs import (
    describe_os_error,
    refuse_existing,
    swap_in,
)
from seqrec.runs.folder import learned_from, run_of
from seqrec.runs.parts import begin_parts, free_bytes, get_parts_folder, has_header
from seqrec.tokens.streams.log import PackedStream
from seqrec.tokens.streams.windows import WindowKind, training_windows
from seqrec.training.steps.distillation import Teachers
from seqrec.training.steps.targets import TargetPositions
from seqrec.training.tensors import as_tensors

DEFAULT_K = 100
SHARD_ROWS = 128
"""Packed rows of a shard: what an interruption loses, at most."""
FORWARD_ROWS = 16
"""Packed rows that are read at once."""


def cache_answers(
    models: Sequence[str | Path],
    *,
    data: str | Path,
    out: str | Path,
    k: int | None = None,
    max_length: int | None = None,
    windows: WindowKind = "all",
    stride: int | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write what teachers answer at every place of the training part that SFT learns.

    Shards are kept in ``OUT.partial`` until all are there; the same command goes on with them.

    Args:
        models: run or model folders; of several, the mean of their probabilities is kept.
        data: prepared folder.
        out: folder, which ``objective.cache`` takes.
        k: how many of the likeliest items are kept of a place; 100 if absent, or all that there
            are.
        max_length: items of a window, as the student's recipe will say in ``data.max_length``; as
            many as all teachers read if absent.
        windows: as the student's recipe will say in ``data.windows``.
        stride: as the student's recipe will say in ``data.stride``.
        overwrite: replace ``out``.

    Returns:
        The folder, how many places it holds, the bytes that were foreseen, and how many shards an
        earlier run had done.

    Raises:
        SeqRecError: a mistake in models, data or folder; too little room on the disk.
    """
    out = Path(out)
    if windows not in get_args(WindowKind):
        raise SeqRecError(f"--windows {windows}: choose from {', '.join(get_args(WindowKind))}")
    refuse_existing(out, overwrite)
    prepared = PreparedData.open(data)
    k = min(DEFAULT_K, prepared.num_items) if k is None else k
    if not 1 <= k <= prepared.num_items:
        raise SeqRecError(f"--k {k}: 1 to {prepared.num_items}, the size of the catalog")
    teachers = open_teachers(models, prepared, windows=windows, key="MODEL")
    longest = min(teacher.model.config.max_length for teacher in teachers)
    max_length = longest if max_length is None else max_length
    if not 1 <= max_length <= longest:
        raise SeqRecError(f"--max-length {max_length}: the models read 1 to {longest} items")
    if stride is not None and (windows != "all" or not 1 <= stride <= max_length):
        raise SeqRecError(f"--stride {stride}: 1 to {max_length}, and with --windows all alone")
    stream = PackedStream(
        prepared.blocks(),
        teachers[0].tokens,
        partial(training_windows, max_length=max_length, which=windows, stride=stride),
        weight=None,
        row_length=max_length,
        batch_size=SHARD_ROWS,
        pool_rows=1,
        ignore_index=IGNORE_INDEX,
        seed=0,
        has_sources=True,
    )
    header = {
        "kind": KIND,
        "teachers": fingerprints(models, key="MODEL"),
        "catalog_fingerprint": prepared.catalog_fingerprint,
        "data_fingerprint": prepared.fingerprint,
        "learned_from": sorted({of for model in models for _, of in learned_from(run_of(model))}),
        "max_length": max_length,
        "windows": windows,
        "stride": stride,
        "k": k,
        "prior_strength": mean_strength(teachers),
        "num_rows": stream.num_targets,
        "num_shards": stream.num_in_order,
    }
    foreseen = max_cache_bytes(stream.num_in_order, stream.num_targets, k)
    print(f"{stream.num_targets:,} places x {k}: at most {foreseen / 1e6:,.0f} MB", file=sys.stderr)
    try:
        parts = get_parts_folder(out)
        there = count_shard_rows(parts) if has_header(parts, CACHE_FILE, header) else []
        done = len(there)
        left = foreseen - max_cache_bytes(done, sum(there), k)
        free = free_bytes(parts)
        if left > free:
            raise SeqRecError(
                f"--out {out}: needs up to {left / 1e6:,.0f} MB, {free / 1e6:,.0f} are free; "
                "make room or lower --k"
            )
        begin_parts(parts, CACHE_FILE, header, overwrite=overwrite)
        guide = Teachers([teacher.model for teacher in teachers])
        for number, answers in enumerate(_answers(guide, stream, k, done), done):
            aside = parts / "part.partial"
            write_shard(answers, aside)
            aside.replace(parts / shard_name(number))
        swap_in(parts, out)
    except OSError as error:
        raise SeqRecError(f"--out {out}: cannot be written: {describe_os_error(error)}") from error
    return {
        "places": stream.num_targets,
        "k": k,
        "foreseen_bytes": foreseen,
        "bytes": sum(file.stat().st_size for file in out.iterdir()),
        "parts": stream.num_in_order,
        "parts_resumed": done,
        "out": str(out),
    }


@torch.no_grad()
def _answers(teachers: Teachers, stream: PackedStream, k: int, first: int) -> Iterator[CachedTopK]:
    """Of every shard, what the teachers say, in float32."""
    for shard in stream.in_order(first):
        batch = as_tensors(shard)
        found = []
        for start in range(0, len(batch.input_ids), FORWARD_ROWS):
            rows = slice(start, start + FORWARD_ROWS)
            part = batch._replace(
                **{
                    name: getattr(batch, name)[rows]
                    for name in ("input_ids", "documents", "labels", "label_weight", "sources")
                }
            )
            learned = TargetPositions.of(part.labels, part.label_weight)
            assert part.sources is not None
            num_items = teachers.models[0].config.num_items
            scores = teachers.scores(part, learned.positions, learned.labels, num_items)
            found.append((part.sources.flatten()[learned.positions], *most_likely(scores, k)))
        columns = [torch.cat(column).numpy() for column in zip(*found, strict=True)]
        yield CachedTopK(*columns)
