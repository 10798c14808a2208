"""``seqrec cache`` without pairs: the teachers' top-k probabilities at every learned position."""

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch

from seqrec.builders.teachers import fingerprints, mean_strength, open_teachers
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
from seqrec.losses.teachers import catalog_top_k
from seqrec.models import SeqRecForNextItem
from seqrec.outputs import (
    describe_os_error,
    locate_output,
    lock_output,
    refuse_existing,
    swap_in,
)
from seqrec.runs.parts import begin_parts, free_bytes, get_parts_folder, has_header
from seqrec.runs.provenance import learned_from, run_of
from seqrec.tokens.streams.log import PackedStream
from seqrec.tokens.streams.windows import WindowKind, training_windows
from seqrec.tokens.tokenizer import ItemTokens
from seqrec.training.steps.distillation import Teachers
from seqrec.training.steps.targets import TargetPositions
from seqrec.training.tensors import as_tensors

DEFAULT_K = 100
SHARD_ROWS = 128
"""Packed rows of a shard; an interruption loses one shard at most."""
FORWARD_ROWS = 16
"""Packed rows of a forward pass."""


def cache_top_k(
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
    """Write the teachers' top-k probabilities at every position that SFT learns.

    Shards are kept in ``OUT.partial`` until all are written; the same command continues with them.

    Args:
        models: run or model folders; the probabilities of several are averaged.
        data: prepared folder.
        out: folder, for ``objective.cache``.
        k: number of items per position; 100 if absent, or the catalog if it is smaller.
        max_length: items of a window, equal to the student's ``data.max_length``; the largest
            number that all teachers read if absent.
        windows: equal to the student's ``data.windows``.
        stride: equal to the student's ``data.stride``.
        overwrite: replace ``out``.

    Returns:
        The folder, the number of positions, an upper bound of the size, and the number of shards
        that an earlier run had written.

    Raises:
        SeqRecError: a mistake in models, data or folder; too little space on the disk.
    """
    out = locate_output(out)
    if windows not in get_args(WindowKind):
        raise SeqRecError(f"--windows {windows}: choose from {', '.join(get_args(WindowKind))}")
    refuse_existing(out, overwrite, (models, data))
    prepared = PreparedData.open(data)
    k = min(DEFAULT_K, prepared.num_items) if k is None else k
    if not 1 <= k <= prepared.num_items:
        raise SeqRecError(f"--k {k}: 1 to {prepared.num_items}, the size of the catalog")
    teachers = open_teachers(models, prepared, windows=windows, key="MODEL")
    opened = [teacher.model for teacher in teachers]
    max_length = _check_lengths(opened, max_length, windows, stride)
    stream = _build_stream(prepared, teachers[0].tokens, max_length, windows, stride)
    header = {
        "kind": KIND,
        "teachers": fingerprints(models, key="MODEL"),
        "catalog_fingerprint": prepared.catalog_fingerprint,
        "data_fingerprint": prepared.fingerprint,
        "learned_from": sorted(
            {fingerprint for model in models for _, fingerprint in learned_from(run_of(model))}
        ),
        "max_length": max_length,
        "windows": windows,
        "stride": stride,
        "k": k,
        "prior_strength": mean_strength(teachers),
        "num_rows": stream.num_targets,
        "num_shards": stream.num_in_order,
    }
    largest = max_cache_bytes(stream.num_in_order, stream.num_targets, k)
    size = f"{largest / 1e6:,.0f} MB"
    print(f"{stream.num_targets:,} positions x {k}: at most {size}", file=sys.stderr)
    try:
        done = _write_shards(opened, stream, header, out, largest, overwrite=overwrite)
    except OSError as error:
        raise SeqRecError(f"--out {out}: cannot be written: {describe_os_error(error)}") from error
    return {
        "positions": stream.num_targets,
        "k": k,
        "foreseen_bytes": largest,
        "bytes": sum(file.stat().st_size for file in out.iterdir()),
        "parts": stream.num_in_order,
        "parts_resumed": done,
        "out": str(out),
    }


def _build_stream(
    prepared: PreparedData,
    tokens: ItemTokens,
    max_length: int,
    windows: WindowKind,
    stride: int | None,
) -> PackedStream:
    """Build batches of the training part, one per shard, with the log row of each position."""
    return PackedStream(
        prepared.blocks(),
        tokens,
        partial(training_windows, max_length=max_length, which=windows, stride=stride),
        weight=None,
        row_length=max_length,
        batch_size=SHARD_ROWS,
        pool_rows=1,
        ignore_index=IGNORE_INDEX,
        seed=0,
        has_sources=True,
    )


def _check_lengths(
    teachers: Sequence[SeqRecForNextItem], max_length: int | None, windows: str, stride: int | None
) -> int:
    """Return the length of windows; the default is the longest that all teachers read."""
    longest = min(teacher.config.max_length for teacher in teachers)
    max_length = longest if max_length is None else max_length
    if not 1 <= max_length <= longest:
        raise SeqRecError(f"--max-length {max_length}: the models read 1 to {longest} items")
    if stride is not None and (windows != "all" or not 1 <= stride <= max_length):
        raise SeqRecError(f"--stride {stride}: 1 to {max_length}, and with --windows all alone")
    return max_length


def _write_shards(
    teachers: Sequence[SeqRecForNextItem],
    stream: PackedStream,
    header: dict[str, Any],
    out: Path,
    largest: int,
    *,
    overwrite: bool,
) -> int:
    """Write the missing shards, and rename their folder to ``out``.

    Args:
        teachers: models of the cache.
        stream: batches, one per shard.
        header: header of the cache.
        out: folder of the cache.
        largest: upper bound of the bytes of all shards.
        overwrite: replace shards of another cache.

    Returns:
        The number of shards that an earlier run had written.

    Raises:
        SeqRecError: too little space on the disk, or shards of another cache.
    """
    parts, k = get_parts_folder(out), header["k"]
    _count_shards(parts, header, out, largest)  # before a folder is made for the lock
    with lock_output(out):
        done = _count_shards(parts, header, out, largest)
        refuse_existing(out, overwrite)
        begin_parts(parts, CACHE_FILE, header, overwrite=overwrite)
        for number, shard in enumerate(_compute_shards(Teachers(teachers), stream, k, done), done):
            aside = parts / "part.partial"
            write_shard(shard, aside)
            aside.replace(parts / shard_name(number))
        swap_in(parts, out)
    return done


def _count_shards(parts: Path, header: dict[str, Any], out: Path, largest: int) -> int:
    """Return the number of shards that an earlier run had written.

    Raises:
        SeqRecError: too little space on the disk for the others.
    """
    there = count_shard_rows(parts) if has_header(parts, CACHE_FILE, header) else []
    left = largest - max_cache_bytes(len(there), sum(there), header["k"])
    free = free_bytes(parts)
    if left > free:
        raise SeqRecError(
            f"--out {out}: needs up to {left / 1e6:,.0f} MB, {free / 1e6:,.0f} are free; "
            "free some or lower --k"
        )
    return len(there)


@torch.no_grad()
def _compute_shards(
    teachers: Teachers, stream: PackedStream, k: int, first: int
) -> Iterator[CachedTopK]:
    """Yield the content of shards from number ``first`` on, in float32."""
    for shard in stream.in_order(first):
        batch = as_tensors(shard)
        parts = []
        for start in range(0, len(batch.input_ids), FORWARD_ROWS):
            rows = slice(start, start + FORWARD_ROWS)
            part = batch._replace(
                targets=None,
                **{
                    name: getattr(batch, name)[rows]
                    for name in ("input_ids", "documents", "labels", "label_weight", "sources")
                },
            )
            learned = TargetPositions.of(part)
            assert part.sources is not None
            num_items = teachers.models[0].config.num_items
            scores = teachers.scores(part, learned.positions, learned.labels, num_items)
            parts.append((part.sources.flatten()[learned.positions], *catalog_top_k(scores, k)))
        columns = [torch.cat(column).numpy() for column in zip(*parts, strict=True)]
        yield CachedTopK(*columns)
