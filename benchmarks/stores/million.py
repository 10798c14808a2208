"""A million simulated titles in two stores: time, memory and disk of an export, and its recall."""

import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.engine.machine import forget_peak, peak_memory_mb
from benchmarks.engine.measure import in_fresh_process
from benchmarks.engine.rows import Row, at_least, row
from benchmarks.stores.places import open_place
from seqrec.retrieval.stores.ann import Ann
from seqrec.retrieval.stores.columns import name_types
from seqrec.retrieval.stores.description import Description
from seqrec.retrieval.stores.opening import open_store, open_target
from seqrec.retrieval.stores.publication import publish_rows
from seqrec.retrieval.stores.recall import Sample, measure_recall
from seqrec.retrieval.stores.urls import parse_address

NAME, MODULE = "store-million", "benchmarks.stores"
WIDTH, GENRES, QUERIES, SEEN, K = 64, 18, 15, 200, 10
CLUSTERS, SPREAD, NORM_SPREAD = 1000, 0.7, 0.3
FLAT = (("lancedb", None), ("duckdb", None))


def measure(quick: bool) -> Iterator[Row]:
    """Yield the rows of exact searches."""
    return measure_systems(NAME, FLAT, quick)


def measure_systems(
    name: str, systems: Sequence[tuple[str, str | None]], quick: bool
) -> Iterator[Row]:
    """Yield the rows of every store, each in a process of its own."""
    num_items = 20_000 if quick else 1_000_000
    for kind, ann in systems:
        found = in_fresh_process("benchmarks.stores.million", kind=kind, ann=ann, items=num_items)
        system = kind if ann is None else f"{kind}, {ann}"
        recall = found["recall"]
        measured = ", ".join(f"{name} {value:.3f}" for name, value in recall.items())
        yield row(
            name,
            f"export of {num_items:,} titles x {WIDTH}, with reading back and recall",
            [found["seconds"]],
            "s",
            system=system,
            note=f"peak memory {found['peak_mb']:,.0f} MB, {found['disk_mb']:,.0f} MB on disk",
            module=MODULE,
        )
        yield row(
            name,
            f"a query minus {SEEN} seen, {num_items:,} titles",
            [found["milliseconds"]],
            "ms",
            system=system,
            module=MODULE,
        )
        yield row(
            name,
            f"smallest recall@10 of {QUERIES} queries, {num_items:,} titles",
            [min(recall.values())],
            "share",
            system=system,
            target=at_least(0.98),
            note=measured,
            module=MODULE,
        )


def probe(kind: str, ann: str | None, items: int) -> dict[str, Any]:
    """Export simulated titles to an empty store, and search in it."""
    rows, sample = _simulate(items)
    vectors = rows["vector"].combine_chunks().flatten().to_numpy().reshape(items, WIDTH)
    settings = None if ann is None else Ann.parse(ann).resolve(items).to_settings()
    description = Description(
        version="20260101000000000000",
        content="simulated",
        model="simulated",
        model_fingerprint="simulated",
        catalog_fingerprint="simulated",
        tokenizer_fingerprint="simulated",
        scores_are_products=True,
        width=WIDTH,
        num_items=items,
        columns=name_types(rows.schema),
        ann=settings,
        written_at="2026-01-01T00:00:00+00:00",
        seqrec="simulated",
    )
    ids = rows["id"].to_pylist()
    with TemporaryDirectory() as folder, open_place(kind, Path(folder)) as address:
        forget_peak()
        started = time.perf_counter()
        store = open_target(parse_address(address, "--to"), writes=True)
        done = publish_rows(
            store,
            rows,
            description,
            keep=2,
            only_changed=False,
            measure=partial(measure_recall, sample=sample, ids=ids, vectors=vectors, k=K),
            progress=lambda line: None,
        )
        store.close()
        seconds = time.perf_counter() - started
        live = open_store(address)
        exclude = [[ids[item] for item in seen] for seen in sample.seen or ()]
        live.search(sample.queries[:1], K, exclude[:1])
        started = time.perf_counter()
        live.search(sample.queries, K, exclude)
        milliseconds = 1000 * (time.perf_counter() - started) / len(exclude)
        live.close()
        files = [file for file in Path(folder).rglob("*") if file.is_file()]
        return {
            "seconds": seconds,
            "milliseconds": milliseconds,
            "recall": dict(done.recall),
            "peak_mb": peak_memory_mb(),
            "disk_mb": sum(file.stat().st_size for file in files) / 2**20,
        }


def _simulate(items: int) -> tuple[pa.Table, Sample]:
    """Return titles in clusters with vectors of unequal norms, and queries from the clusters."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((CLUSTERS, WIDTH)).astype(np.float32)

    def draw(number: int) -> np.ndarray:
        noise = random.standard_normal((number, WIDTH)).astype(np.float32)
        return centres[random.integers(CLUSTERS, size=number)] + np.float32(SPREAD) * noise

    norms = random.lognormal(0, NORM_SPREAD, (items, 1)).astype(np.float32)
    vectors = draw(items) * norms / np.float32(WIDTH**0.5)
    queries = draw(QUERIES)
    genres = random.integers(GENRES, size=items)
    names = np.array([f"genre {number}" for number in range(GENRES)])
    ids = [f"title-{number}" for number in range(items)]
    lists = pa.ListArray.from_arrays(np.arange(items + 1), pa.array(names[genres]))
    rows = pa.table(
        {
            "id": pa.array(ids),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), WIDTH),
            "title": pa.array([f"Title {number}" for number in range(items)]),
            "genres": lists.cast(pa.list_(pa.string())),
            "num_interactions": pa.array(random.integers(1, 1000, size=items)),
        }
    )
    best = np.argsort(-(queries @ vectors.T), axis=1)[:, : 2 * SEEN]
    seen = [np.sort(row[::2]) for row in best]
    values = [str(names[number % GENRES]) for number in range(QUERIES)]
    masks = {str(name): genres == number for number, name in enumerate(names)}
    return rows, Sample(queries, seen, "genres", values, masks)
